import os; os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
import numpy as np, tensorflow as tf, keras
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.networks.fast_form import fast_form
n=build_network(NetworkSection(depth=2,filters=[4,6],kernels=[3,1],norm="none"),side=16,channels=1)
x=tf.constant(np.random.default_rng(0).normal(size=(2,16,16,1)).astype(np.float32))
f=fast_form(n)
with tf.GradientTape() as t: l=tf.reduce_sum(f(x,training=True)["head_1"][...,1]**2)
g=t.gradient(l,n.trainable_variables); print([v.shape for v in g][:4], float(l))
n.save("/tmp/lab/b1.keras"); m=load_network(__import__("pathlib").Path("/tmp/lab/b1.keras")); print(np.abs(m(x)["head_1"]-n(x)["head_1"]).max())
