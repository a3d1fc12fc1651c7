"""Energy networks in pure Keras 3: ResNet, U-Net, heads, layers, the authors' weights."""
