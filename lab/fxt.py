import os; os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
import tensorflow as tf, keras, time, sys
keras.mixed_precision.set_global_policy(sys.argv[1])
net=keras.applications.EfficientNetB0(include_top=False,weights=None,input_shape=(320,320,3))
opt=keras.optimizers.AdamW(1e-4); opt.build(net.trainable_variables); a=tf.random.normal((8,320,320,3))
@tf.function
def step(a):
    with tf.GradientTape() as t: l=tf.reduce_mean(tf.cast(net(a,training=True),tf.float32))
    opt.apply_gradients(zip(t.gradient(l,net.trainable_variables),net.trainable_variables))
step(a); t=time.time(); step(a); step(a); print("tf",sys.argv[1],(time.time()-t)/2)
