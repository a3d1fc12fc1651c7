"""Samplers: functions of callables and arrays, which never see a config or a model."""
