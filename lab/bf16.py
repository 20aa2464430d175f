import os,sys,time
os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
pol=sys.argv[1]
sys.argv=sys.argv[:1]
sys.path.insert(0,"/tmp/lab")
import tensorflow as tf, keras
from common import *
keras.mixed_precision.set_global_policy(pol)
S=384
i=keras.Input((S,S,1)); x=conv(i,16,5,2); x=layers.Activation("relu")(layers.BatchNormalization()(x))
for l,(f,n) in enumerate(zip((16,32,64,128),(1,1,2,2))):
    for b in range(n): 
        if b==0 and l>0: x=layers.AveragePooling2D(2)(x)
        x=block(x,f,1)
e=layers.Conv2D(1,1,dtype="float32",name="evidence")(x)
net=keras.Model(i,ops.logsumexp(e,axis=(1,2)))
opt=keras.optimizers.AdamW(1e-3); opt.build(net.trainable_variables)
@tf.function
def step(a,y):
    with tf.GradientTape() as tp:
        l=tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y,net(a,training=True)))
    opt.apply_gradients(zip(tp.gradient(l,net.trainable_variables),net.trainable_variables)); return l
a=tf.random.normal((16,S,S,1)); y=tf.constant(np.random.rand(16,1)>0.5,tf.float32)
for k in range(3): step(a,y)
t=time.time()
for k in range(8): l=step(a,y)
print(pol,S,"s/step",(time.time()-t)/8)
