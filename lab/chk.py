import os; os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
import numpy as np, keras, time
from clamnet_tf.networks.efficientnet_lite import *
from clamnet_tf.networks.imagenet_weights import *
x=np.load("/tmp/lab/chk_in.npy")
i=keras.Input((96,96,1)); m=keras.Model(i,connect_efficientnet_lite0(i,last="level_0")); load_imagenet_weights(m)
print(m.count_params(), m.output.shape, np.abs(m(x,training=False).numpy()-np.load("/tmp/lab/chk_out.npy")).max(), np.abs(np.load("/tmp/lab/chk_out.npy")).max())
