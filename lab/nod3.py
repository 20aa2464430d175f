from common import *
from clamnet_tf.marking.refinement import METHODS, seeds_of
t0=time.time()
rows,X,M,Y,P=load("lidc_patches"); tr,va,te=split(P)
x=((X-X.mean((1,2),keepdims=True))/(X.std((1,2),keepdims=True)+1e-3))[...,None].astype(np.float32)
black=np.broadcast_to(x.min((1,2,3),keepdims=True),x.shape)
pt=np.flatnonzero(tr&(Y>0)); pv=np.flatnonzero(va&(Y>0)); org=np.ones((48,48),bool)
keras.utils.set_random_seed(1)
n1=classifier(48); train_classifier(n1,x[tr],Y[tr],seed=1); n1.save_weights("/tmp/lab/nod_c1.weights.h5")
n0=classifier(48); n0.load_weights("/tmp/lab/nod_c.weights.h5")
print("AUROC",[roc_auc_score(Y[va],predict(n,x[va],"logit")) for n in (n0,n1)],round(time.time()-t0),flush=True)
A={}
for s,k in (("t",pt),("v",pv)):
    a0,a1=(grad_input(n,x[k],black[k]) for n in (n0,n1)); q=lambda a:a/a.max((1,2),keepdims=True)
    A[s]=dict(a0=a0,a1=a1,mean=q(a0)+q(a1),geo=np.sqrt(q(a0)*q(a1)))
for n,a in A["v"].items(): print("val",n,score_maps(a,M[pv]),flush=True)
def votes(X,a,k):
    out=[]
    for i,v in zip(k,a):
        img=ndimage.gaussian_filter(X[i],0.5); ms=[]
        for name,share,reach in (("halfway",0.04,5),("halfway",0.02,5),("geodesic",0.04,5),("geodesic",0.02,8),("border_contrast",0.04,5)):
            s=seeds_of(v,org,share=share,reach=reach); ms.append(METHODS[name](img,v,s) if s else np.zeros(img.shape,bool))
        out.append(np.mean(ms,0))
    return np.stack(out)
def show(n,v,k): print(n,"halfmaj %.3f"%np.mean([dice(p>0.5,m>0) for p,m in zip(v,M[k])]),"sure %.3f"%np.mean([dice(p>0.9,m>0) for p,m in zip(v,M[k])]),"any %.3f"%np.mean([dice(p>0,m>0) for p,m in zip(v,M[k])]),flush=True)
V={}
for n in ("a0","mean","geo"): V[n]=votes(X,A["t"][n],pt); show("train "+n,V[n],pt)
np.savez_compressed("/tmp/lab/nod_votes.npz",**V)
def evaluate(net,name):
    p=tf.sigmoid(predict(net,x[va])).numpy(); pos=Y[va]>0; m=M[va]
    print(name,"Dice@.5 %.3f .3 %.3f .7 %.3f"%tuple(np.mean([dice(q>c,mm>0) for q,mm in zip(p[pos],m[pos])]) for c in (.5,.3,.7)),score_maps(p[pos],m[pos],(0.05,)),"normals %.4f"%(p[~pos]>0.5).mean(),"AUROC %.3f"%roc_auc_score(pos,p.max((1,2))),round(time.time()-t0),flush=True)
def student(marks,ignore,name,epochs=8,filters=(16,32,64),seed=0):
    t=np.zeros(X.shape,np.float32);w=np.ones(X.shape,np.float32); t[pt]=marks; w[pt]=~ignore
    keras.utils.set_random_seed(seed); s=unet(48,filters); train_student(s,x[tr],t[tr],w[tr],epochs=epochs,seed=seed); evaluate(s,name); return s
v=V["geo"]; s=student(v>0.5,(v>0.1)&(v<0.9),"geo votes, doubtful ignored")
s.save_weights("/tmp/lab/nod_s.weights.h5")
p=tf.sigmoid(predict(s,x[pt])).numpy(); show("student on train",p,pt)
v2=votes(X,ndimage.gaussian_filter(p,(0,1,1)),pt); show("student refined",v2,pt)
student(p>0.5,np.zeros(p.shape,bool),"round 2 plain")
student((p+v2)/2>0.5,((p+v2)/2>0.25)&((p+v2)/2<0.75),"round 2 mixed, doubtful ignored")
student(M[pt]>0,np.zeros(p.shape,bool),"supervised")
