"""The largest seed that a user may choose. Plain Python, for everything that checks seeds."""

__all__ = ["MAX_SEED", "SEED_RANGE"]

# Seeds are int64 numbers. Those above the limit are left to the program, for Markov chains that it
# adds to the user's.
_BITS = 62
MAX_SEED = 2**_BITS
SEED_RANGE = f"[0, 2^{_BITS}]"
