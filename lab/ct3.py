from fx import *
d=np.load("/tmp/lab/ctw.npz"); raw,o,M,known,y,split,site=(d[k] for k in ("x","o","M","known","y","split","site"))
S=int(os.environ.get("S","192"))
r=lambda a,mode="area": F.interpolate(torch.from_numpy(a.astype(np.float32))[:,None],size=S,mode=mode)[:,0].numpy()
x=((r(raw)-100)/60).astype(np.float16); o=r(o)>0.5; M=r(M)>0.5
med=np.flatnonzero((site=="medseg")&known&(y>0)); tr=(split=="train")&(site!="medseg"); va=(split=="val")&(site!="medseg")
half=med[::2]; t0=time.time(); rng=np.random.default_rng(0)
print(x.shape,tr.sum(),va.sum(),len(med),"lesion of lung",np.mean(M[med].sum((1,2))/o[med].sum((1,2))),flush=True)
dice=lambda a,b:2*(a&b).sum()/max(1,a.sum()+b.sum())
def draw(e):
    p=rng.permutation(np.flatnonzero(tr&(y>0))); n=rng.permutation(np.flatnonzero(tr&(y==0))); k=min(len(p),len(n)); return np.stack([p[:k],n[:k]],1).ravel()
nets=[]
for seed in range(int(os.environ.get("NETS","1"))):
    torch.manual_seed(seed); net=Net(stop=16,r=2.0).to(memory_format=torch.channels_last)
    train(net,x,y,draw,int(os.environ.get("EP","5")),lr=1e-3,seed=seed,every=1,rot=10,zoom=(0.9,1.1),log=lambda e,l:print(e,round(l,3),round(time.time()-t0),"val %.3f"%roc_auc_score(y[va],infer(net,x[va])[0]),"medseg P %.2f"%(1/(1+np.exp(-infer(net,x[half])[0]))).mean(),flush=True))
    torch.save(net.state_dict(),f"/tmp/lab/ct_e{seed}.pt"); nets.append(net)
def report(nm,a,k):
    a=np.where(o[k],a,-1); pt=np.mean([m[np.unravel_index(v.argmax(),v.shape)] for v,m in zip(a,M[k])]); out=[]
    for q in (0.1,0.2,0.3,0.4,0.5):
        out.append("%.2f:%.3f"%(q,np.mean([dice((v>=np.quantile(v[oo],1-q))&oo,m) for v,oo,m in zip(a,o[k],M[k])])))
    print(nm,"point %.3f"%pt,*out,flush=True)
br=np.stack([ndimage.gaussian_filter(v.astype(np.float32),1) for v in x[half]])
report("bright",br,half)
for b in ("black","mean","blur"):
    for sg in (4,8):
        g=np.mean([gxi(n,x[half],b,sigma=sg,dev=0.2) for n in nets],0); report(f"gxi {b} {sg}",g,half)
        report("  x bright",g*np.maximum(br-br.min(),0),half)
z,e=infer(nets[0],x[half]); ev=np.stack([ndimage.zoom(v,S/len(v),order=1) for v in e]); report("evidence",ev-ev.min(),half)
