from prep import *
t0=time.time()
x,o,t,M,known=prepared("ct_nodule","/tmp/m/lidc_patches.csv",["organ.margin=0.0"])
tr,va,te=(t.split==s for s in ("train","val","test")); Y=(t.label>0).astype(int)
print(o.mean(),flush=True)
def evaluate(net,name):
    out=[]
    for n,s in (("val",va),("test",te)):
        p=tf.sigmoid(predict(net,x[s])).numpy(); pos=Y[s]>0; m=M[s]
        out.append("%s Dice@.5 %.3f .3 %.3f .7 %.3f normals %.4f"%((n,)+tuple(np.mean([dice(q>c,mm>0) for q,mm in zip(p[pos],m[pos])]) for c in (.5,.3,.7))+((p[~pos]>0.5).mean(),)))
    print(name,*out,round(time.time()-t0),flush=True)
def train(net,hyb,smooth,allneg,clip,epochs=8,lr=2e-3,bs=32,seed=0):
    rng=np.random.default_rng(seed); xx=x[tr]; steps=epochs*(len(xx)//bs)
    opt=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(lr,steps),global_clipnorm=clip); opt.build(net.trainable_variables)
    tw=M[tr].astype(np.float32)
    @tf.function
    def step(a,y):
        with tf.GradientTape() as tp:
            z=net(a,training=True); lp=tf.math.log_sigmoid(z); ln=tf.math.log_sigmoid(-z); p=tf.sigmoid(z)
            ce=-(y*lp+(1-y)*ln)
            if hyb: ce=ce-(y*p/(y*y+p*p+1e-6)+(1-y)*(1-p)/((1-y)**2+(1-p)**2+1e-6))
            l=tf.reduce_mean(ce)
            pos=tf.cast(tf.reduce_max(y,[1,2])>0,tf.float32)
            dl=1-(2*tf.reduce_sum(p*y,[1,2])+smooth)/(tf.reduce_sum(p,[1,2])+tf.reduce_sum(y,[1,2])+smooth)
            l+=tf.reduce_mean(dl) if allneg else tf.reduce_sum(dl*pos)/tf.maximum(tf.reduce_sum(pos),1)
        opt.apply_gradients(zip(tp.gradient(l,net.trainable_variables),net.trainable_variables)); return l
    for e in range(epochs):
        for b in batches(rng,len(xx),bs):
            a,m=augment(rng,xx[b],tw[b]); step(tf.constant(a),tf.constant(m))
for name,a in {"margin0 ce sd1":(False,1,False,None),"hyb sd50 all clip1":(True,50,True,1.0),"hyb sd1 pos":(True,1,False,None),"ce sd50 all":(False,50,True,None)}.items():
    keras.utils.set_random_seed(0); s=unet(48); train(s,*a); evaluate(s,name)
