from prep import *
t0=time.time(); S=int(os.environ.get("S","384"))
x,o,t,M,known=prepared("xray_trauma","/tmp/m/fracatlas.csv",["organ.method=none",f"data.side={S}","data.cohort=null"])
x=x.astype(np.float16)
tr,va,te=(t.split==s for s in ("train","val","test")); Y=(t.label>0).astype(int); site=t.site
print(x.shape,tr.sum(),va.sum(),te.sum(),"lesion share",M[Y>0].mean(),round(time.time()-t0),flush=True)
PRE=os.environ.get("PRE")
keras.utils.set_random_seed(0)
def frac_net():
    i=keras.Input((S,S,1)); x=conv(i,16,5,2); x=layers.Activation("relu")(layers.BatchNormalization()(x))
    for l,(f,n) in enumerate(zip((16,32,64,128),(1,1,2,2))):
        for b in range(n): x=block(x,f,2 if b==0 and l>0 else 1)
    x=layers.SpatialDropout2D(0.2)(x)
    e=layers.Conv2D(1,1,dtype="float32",name="evidence")(x); r=2.0
    z=(ops.logsumexp(r*e,axis=(1,2))-float(np.log(e.shape[1]*e.shape[2])))/r
    return keras.Model(i,{"logit":z[:,0],"map":e[...,0]})
net=frac_net()
from clamnet_tf.data.views import ViewLaw, draw_view
law=ViewLaw(blur=(0.8,1.0),stretch=(0.9,1.0),restore="pad",flip=True,rotate_degrees=20.0,zoom=(0.85,1.2),intensity=0.25,noise=0.05,shift=0.05)
@tf.function
def view(a,m,seed):
    v,mm,_=draw_view(a,m,seed,law); return v,mm
rng=np.random.default_rng(0)
def pairs(n):
    pos=np.flatnonzero(tr&(Y>0)); out=[]
    for p in rng.permutation(pos):
        c=np.flatnonzero(tr&(Y==0)&(site==site[p])); out+= [p, rng.choice(c if len(c) else np.flatnonzero(tr&(Y==0)))]
    return np.array(out)
def auroc(s):
    z=predict(net,x[s].astype(np.float32),"logit",16); y=Y[s]; w=[]
    for b in np.unique(site[s]):
        k=site[s]==b
        if 0<y[k].sum()<k.sum(): w.append((k.sum(),roc_auc_score(y[k],z[k])))
    return roc_auc_score(y,z), sum(a*b for a,b in w)/sum(a for a,b in w)
def fit(net,epochs,lr,get,bs=16,log=None,masks=False):
    steps=epochs*len(get())//bs
    opt=keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(lr*0.1,steps,warmup_target=lr,warmup_steps=steps//20),weight_decay=1e-3); opt.build(net.trainable_variables)
    @tf.function
    def step(a,y,m):
        with tf.GradientTape() as tp:
            q=net(a,training=True); l=tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y*0.9+0.05,q["logit"]))
            if masks:
                mm=tf.image.resize(m[...,None],q["map"].shape[1:3],method="area")[...,0]; mm=tf.cast(mm>0.05,tf.float32)
                ce=tf.nn.sigmoid_cross_entropy_with_logits(mm,q["map"]-4.0)
                l+=tf.reduce_mean(tf.reduce_sum(ce*(mm*10+1),[1,2])/50.0)
        opt.apply_gradients(zip(tp.gradient(l,net.trainable_variables),net.trainable_variables)); return l
    n=0
    for e in range(epochs):
        ls=[]; rows=get()
        for i in range(0,len(rows)-bs+1,bs):
            r=rows[i:i+bs]; a,y,m=make(r) if masks else (x[r].astype(np.float32),Y[r],np.zeros((bs,S,S),np.float32))
            v,mm=view(tf.constant(a),tf.constant(m),tf.constant([7,n])); n+=1
            ls.append(float(step(v,tf.constant(y.astype(np.float32)),mm)))
        if log: log(e,np.mean(ls))
# CutPaste-like: local shear along a line in a normal image
norm=np.flatnonzero(tr&(Y==0))
def make(rows):
    a=x[rows].astype(np.float32); y=np.arange(len(rows))%2; m=np.zeros((len(rows),S,S),np.float32)
    for j in np.flatnonzero(y):
        im=a[j,...,0]; g=ndimage.gaussian_gradient_magnitude(im,1.5)*(im>np.quantile(im,0.5))
        p=np.quantile(g,0.97); c=np.argwhere(g>p); cy,cx=c[rng.integers(len(c))]
        th=rng.uniform(0,np.pi); R=rng.uniform(10,28)*S/384; d=rng.uniform(1.5,5)*S/384*rng.choice([-1,1])
        yy,xx=np.mgrid[:S,:S]; u=(xx-cx)*np.cos(th)+(yy-cy)*np.sin(th); w=-(xx-cx)*np.sin(th)+(yy-cy)*np.cos(th)
        amp=d*np.exp(-(u**2+w**2)/(2*R**2))*(u>0)
        wy=yy+amp*np.cos(th)*1.0; wx=xx-amp*np.sin(th)
        im2=ndimage.map_coordinates(im,[wy,wx],order=1,mode="nearest")
        line=np.exp(-(u+rng.uniform(-.5,.5)*np.sin(w/rng.uniform(2,5)))**2/(2*rng.uniform(0.6,1.5)**2))*(np.abs(w)<R)
        im2=im2-line*rng.uniform(0.0,0.6)
        a[j,...,0]=im2; m[j]=(np.abs(u)<5)&(np.abs(w)<R)
    return a,y,m
def cutrows():
    r=rng.permutation(norm)[:512]; return np.repeat(r,2) if False else r
if PRE:
    fit(net,int(PRE),2e-3,cutrows,masks=True,log=lambda e,l:print("pre",e,round(l,3),round(time.time()-t0),"val all %.3f site %.3f"%auroc(va) if e%4==3 else "",flush=True))
    net.save_weights(f"/tmp/lab/frac_pre.weights.h5")
def log(e,l):
    if e%3==2: print(e,round(l,3),round(time.time()-t0),"val all %.3f site %.3f"%auroc(va),flush=True)
fit(net,int(os.environ.get("EP","24")),1e-3 if PRE else 2e-3,lambda:pairs(0),log=log)
net.save_weights(f"/tmp/lab/frac_{'pre' if PRE else 'plain'}_final.weights.h5")
print("val",auroc(va),"test",auroc(te))
k=np.flatnonzero((va|te)&(Y>0))
def hits(a):
    r=8*S/224; return np.mean([ndimage.distance_transform_edt(~m)[np.unravel_index(v.argmax(),v.shape)]<=r for v,m in zip(a,M[k])])
ev=predict(net,x[k].astype(np.float32),"map",16); print("evidence map pointing",hits(np.stack([ndimage.zoom(e,S/len(e),order=1) for e in ev])),flush=True)
xf=x[k].astype(np.float32)
a=grad_input(net,xf,np.broadcast_to(xf.min((1,2,3),keepdims=True),xf.shape),copies=8,dev=0.2,sigma=6*S/224,bs=16); print("grad x input pointing",hits(a),time.time()-t0)
