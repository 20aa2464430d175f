import os, csv, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL","3")
import numpy as np, tensorflow as tf, keras
from keras import layers, ops
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score, average_precision_score
D="/work/shared/data"
def load(name, side=None, sites=None):
    rows=list(csv.DictReader(open(f"{D}/{name}/manifest.csv")))
    X=[];M=[]
    for r in rows:
        im=Image.open(f"{D}/{name}/{r['image']}").convert("L")
        m=Image.open(f"{D}/{name}/{r['mask']}") if r['mask'] else None
        if side: im=im.resize((side,side),Image.BILINEAR); m=m and m.resize((side,side),Image.NEAREST)
        X.append(np.asarray(im,np.float32)); M.append((np.asarray(m)>0).astype(np.uint8) if m else np.zeros(X[-1].shape,np.uint8))
    return rows,np.stack(X),np.stack(M),np.array([int(r['label']) for r in rows]),np.array([r['patient'] for r in rows])
def split(patients,seed=0,test=1/3,val=0.12):
    p=np.unique(patients); np.random.default_rng(seed).shuffle(p)
    a=int(len(p)*test);b=a+int(len(p)*val)
    return tuple(np.isin(patients,q) for q in (p[b:],p[a:b],p[:a]))
def conv(x,f,k=3,s=1,bias=False): return layers.Conv2D(f,k,strides=s,padding="same",use_bias=bias,kernel_initializer="he_normal")(x)
def block(x,f,s=1):
    y=conv(x,f,3,s); y=layers.BatchNormalization()(y); y=layers.Activation("relu")(y)
    y=conv(y,f); y=layers.BatchNormalization()(y)
    if s!=1 or x.shape[-1]!=f: x=layers.BatchNormalization()(conv(x,f,1,s))
    return layers.Activation("relu")(layers.Add()([x,y]))
def classifier(side,filters=(32,64,128),blocks=(1,2,2),r=4.0,ch=1):
    i=keras.Input((side,side,ch)); x=conv(i,filters[0]); x=layers.BatchNormalization()(x); x=layers.Activation("relu")(x)
    for l,(f,n) in enumerate(zip(filters,blocks)):
        for b in range(n): x=block(x,f,2 if b==0 and l>0 else 1)
    e=layers.Conv2D(1,1,dtype="float32",name="evidence")(x)
    n=e.shape[1]*e.shape[2]
    z=(ops.logsumexp(r*e,axis=(1,2))-float(np.log(n)))/r
    return keras.Model(i,{"logit":z[:,0],"map":e[...,0]})
def unet(side,filters=(16,32,64),ch=1):
    i=keras.Input((side,side,ch)); x=i; skips=[]
    def two(x,f):
        for _ in range(2): x=layers.Activation("relu")(layers.BatchNormalization()(conv(x,f)))
        return x
    for l,f in enumerate(filters):
        x=two(x if l==0 else layers.MaxPooling2D(2)(x),f); skips.append(x)
    for f,s in zip(filters[-2::-1],skips[-2::-1]):
        x=two(layers.Concatenate()([layers.Conv2DTranspose(f,2,strides=2,padding="same")(x),s]),f)
    return keras.Model(i,layers.Conv2D(1,1,dtype="float32")(x)[...,0])
def augment(rng,x,m=None,shift=3,intensity=0.2,noise=0.1,turns=True):
    x=x.copy(); m=None if m is None else m.copy()
    for i in range(len(x)):
        k=rng.integers(4) if turns else 0; f=rng.integers(2)
        dy,dx=rng.integers(-shift,shift+1,2)
        def g(a):
            a=np.rot90(a,k); a=a[:,::-1] if f else a
            p=np.pad(a,[(shift,shift)]*2+[(0,0)]*(a.ndim-2),mode="edge")
            return p[shift+dy:shift+dy+a.shape[0],shift+dx:shift+dx+a.shape[1]]
        x[i]=g(x[i])
        if m is not None: m[i]=g(m[i])
    x=x*np.exp(rng.uniform(-intensity,intensity,(len(x),1,1,1)))+rng.uniform(-intensity,intensity,(len(x),1,1,1))+rng.normal(0,noise,x.shape)
    return x.astype(np.float32),m
def batches(rng,n,size): 
    o=rng.permutation(n); return [o[i:i+size] for i in range(0,n-size+1,size)]
def predict(net,x,key=None,bs=64):
    f=tf.function(lambda a: net(a,training=False))
    out=[]
    for i in range(0,len(x),bs):
        o=f(tf.constant(x[i:i+bs])); out.append((o if key is None else o[key]).numpy())
    return np.concatenate(out)
def train_classifier(net,x,y,epochs=12,lr=2e-3,bs=32,seed=0,log=None,aug={}):
    rng=np.random.default_rng(seed); steps=epochs*(len(x)//bs)
    opt=keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(lr,steps),weight_decay=1e-4)
    opt.build(net.trainable_variables)
    @tf.function
    def step(a,b):
        with tf.GradientTape() as t:
            z=net(a,training=True)["logit"]; l=tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(b,z))
        opt.apply_gradients(zip(t.gradient(l,net.trainable_variables),net.trainable_variables)); return l
    for e in range(epochs):
        ls=[]
        for b in batches(rng,len(x),bs):
            a,_=augment(rng,x[b],**aug); ls.append(float(step(tf.constant(a),tf.constant(y[b].astype(np.float32)))))
        if log: log(e,np.mean(ls))
def grad_input(net,x,base,copies=16,dev=0.3,sigma=2.5,seed=0,bs=64):
    @tf.function
    def g(a):
        with tf.GradientTape() as t:
            t.watch(a); z=net(a,training=False)["logit"]
        return t.gradient(z,a)
    rng=np.random.default_rng(seed); out=np.zeros(x.shape[:3],np.float32)
    for i in range(0,len(x),bs):
        for c in range(copies):
            n=x[i:i+bs]+rng.normal(0,dev,x[i:i+bs].shape).astype(np.float32)
            out[i:i+bs]+=np.maximum(g(tf.constant(n)).numpy()*(n-base[i:i+bs]),0).sum(-1)/copies
    return np.stack([ndimage.gaussian_filter(o,sigma) for o in out])
def dice(a,b): return 2*(a&b).sum()/max(1,a.sum()+b.sum())
def top(a,share): 
    k=np.quantile(a.reshape(len(a),-1),1-share,axis=1); return a>=k[:,None,None]
def score_maps(a,M,shares=(0.03,0.04,0.06)):
    pt=np.mean([m[np.unravel_index(v.argmax(),v.shape)] for v,m in zip(a,M)])
    return "point %.3f "%pt+" ".join("D@%.2f %.3f"%(s,np.mean([dice(p,m>0) for p,m in zip(top(a,s),M)])) for s in shares)+" AP %.3f"%np.mean([average_precision_score(m.ravel(),v.ravel()) for v,m in zip(a,M)])
def refine(img,att,share=0.04,reach=5):
    marks=att>=np.quantile(att,1-share)
    near=ndimage.distance_transform_edt(~marks)<=reach
    core=att>=np.quantile(att,1-share/4)
    ring=(ndimage.distance_transform_edt(~near)>0)&False
    d=ndimage.distance_transform_edt(~near); ring=(d>0)&(d<=3)
    c,o=np.median(img[core]),np.median(img[ring]) if ring.any() else np.median(img)
    cut=(c+o)/2; m=(img>cut) if c>o else (img<cut)
    m&=near; lab,n=ndimage.label(m); p=np.unravel_index(att.argmax(),att.shape)
    if lab[p]: m=lab==lab[p]
    elif n: 
        w=ndimage.sum_labels(att,lab,np.arange(1,n+1)); m=lab==1+w.argmax()
    else: m=marks
    return ndimage.binary_fill_holes(m)
def train_student(net,x,t,w,epochs=8,lr=2e-3,bs=32,seed=0,aug={}):
    """t target 0/1, w weight map (0 ignored)"""
    rng=np.random.default_rng(seed); steps=epochs*(len(x)//bs)
    opt=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(lr,steps)); opt.build(net.trainable_variables)
    tw=np.stack([t,w],-1)
    @tf.function
    def step(a,m):
        y,v=m[...,0],m[...,1]
        with tf.GradientTape() as tp:
            z=net(a,training=True); ce=tf.nn.sigmoid_cross_entropy_with_logits(y,z)
            l=tf.reduce_sum(ce*v)/tf.reduce_sum(v); p=tf.sigmoid(z)*v
            pos=tf.cast(tf.reduce_max(y,[1,2])>0,tf.float32)
            dl=1-(2*tf.reduce_sum(p*y,[1,2])+1)/(tf.reduce_sum(p,[1,2])+tf.reduce_sum(y*v,[1,2])+1)
            l+=tf.reduce_sum(dl*pos)/tf.maximum(tf.reduce_sum(pos),1)
        opt.apply_gradients(zip(tp.gradient(l,net.trainable_variables),net.trainable_variables)); return l
    for e in range(epochs):
        for b in batches(rng,len(x),bs):
            a,m=augment(rng,x[b],tw[b],**aug); step(tf.constant(a),tf.constant(m.astype(np.float32)))
