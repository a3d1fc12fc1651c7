"""Energy networks in Keras 3: ResNet, U-Net, dense network, their heads, the authors' weights."""
