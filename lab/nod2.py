from common import *
t0=time.time()
rows,X,M,Y,P=load("lidc_patches"); tr,va,te=split(P)
x=((X-X.mean((1,2),keepdims=True))/(X.std((1,2),keepdims=True)+1e-3))[...,None].astype(np.float32)
net=classifier(48); net.load_weights("/tmp/lab/nod_c.weights.h5")
pt=tr&(Y>0); b=np.broadcast_to(x.min((1,2,3),keepdims=True),x.shape)
a=grad_input(net,x[pt],b[pt]); print("train positives",score_maps(a,M[pt]),flush=True)
ref=np.stack([refine(i,v) for i,v in zip(X[pt],a)]); print("refined",np.mean([dice(p,m>0) for p,m in zip(ref,M[pt])]),flush=True)
np.savez_compressed("/tmp/lab/nod_att.npz",a=a,ref=ref)
def evaluate(net,name):
    for n,s in (("val",va),):
        p=tf.sigmoid(predict(net,x[s])).numpy(); pos=Y[s]>0
        print(name,n,"Dice@.5 %.3f"%np.mean([dice(q>0.5,m>0) for q,m in zip(p[pos],M[s][pos])]),score_maps(p[pos],M[s][pos],(0.05,)),"normals %.4f"%(p[~pos]>0.5).mean(),"AUROC %.3f"%roc_auc_score(pos,p.max((1,2))),round(time.time()-t0),flush=True)
def targets(marks,ignore=None):
    t=np.zeros(X.shape,np.float32);w=np.ones(X.shape,np.float32); t[pt]=marks
    if ignore is not None: w[pt]=~ignore
    return t[tr],w[tr]
for name,(t,w) in {"refined":targets(ref),"refined+ignore rim":targets(ref,np.stack([ndimage.binary_dilation(r,iterations=2)^ndimage.binary_erosion(r) for r in ref])),"raw top4":targets(top(a,0.04)),"supervised":targets(M[pt])}.items():
    keras.utils.set_random_seed(0); s=unet(48); train_student(s,x[tr],t,w); evaluate(s,name)
