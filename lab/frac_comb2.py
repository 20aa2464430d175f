from frac_att import *
import pickle
A,sco,_=pickle.load(open("/tmp/lab/frac_A.pkl","rb")); s8=(sco["p1"]+sco["p2"])/2; hi=s8>np.median(s8); B={}
kinds=[("gxi black",),("layercam",5),("layercam",11),("gradxact",5),("gradxact",11),("tta","layercam",5),("tta","layercam",11),("tta","gradxact",5),("tta","gradxact",11)]
def small(a): return F.avg_pool2d(torch.from_numpy(a)[:,None],2)[:,0].numpy()
D2=-F.max_pool2d(torch.from_numpy(-D.astype(np.float32))[:,None],2)[:,0].numpy()
def h2(a): return np.array([d[np.unravel_index(v.argmax(),v.shape)]<=rad for v,d in zip(a,D2)])
def rep(n,a): h=h2(a); print("%.3f above %.3f below %.3f %s"%(h.mean(),h[hi].mean(),h[~hi].mean(),n),flush=True)
for k in kinds:
    for n in ("p1","p2","e16"): B[k,n]=norm(sm(small(A[k+(n,)]),4)); rep((k,n),B[k,n])
    p,q,e=(B[k,n] for n in ("p1","p2","e16")); rep((k,"prod p1p2"),p*q); rep((k,"mean p1p2"),p+q); rep((k,"prod3"),p*q*e); rep((k,"mean3"),p+q+e); rep((k,"prod p2 e16"),q*e); rep((k,"prod p1 e16"),p*e)
P={k:B[k,"p1"]*B[k,"p2"] for k in kinds}; P3={k:P[k]*B[k,"e16"] for k in kinds}
for i,a in enumerate(kinds):
    for b in kinds[i+1:]: rep(("p1p2",a,"x",b),P[a]*P[b]); rep(("all3",a,"x",b),P3[a]*P3[b])
