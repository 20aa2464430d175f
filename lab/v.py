import numpy as np, tensorflow as tf
from clamnet_tf.data.views import *
x=np.zeros((64,8,8,1),np.float32); x[:,1,2,0]=1; x[:,5,6,0]=2
law=ViewLaw(blur=(1,1),stretch=(1,1),flip=False,intensity=0,quarter_turns=True)
v,o,m=draw_view(tf.constant(x),tf.ones((64,8,8)),tf.constant([3,4]),law)
v=v.numpy(); ex={np.rot90(a,k).tobytes() for a in (x[0,...,0],x[0,::-1,:,0]) for k in range(4)}
print(len({a[...,0].tobytes() for a in v}), {a[...,0].tobytes() for a in v}==ex, o.numpy().min())
law=law._replace(quarter_turns=False,shift=0.25)
v=draw_view(tf.constant(x),tf.ones((64,8,8)),tf.constant([3,4]),law)[0].numpy()
print(sorted({tuple(np.argwhere(a[...,0]==1)[0]) for a in v if (a==1).any()}))
