from fx import *
d=np.load("/tmp/lab/frac.npz"); x,M,y,split,site=d["x"],d["M"],d["y"],d["split"],d["site"]
S=int(os.environ.get("S","384"))
if S!=384: x=F.interpolate(torch.from_numpy(x.astype(np.float32))[:,None],size=S,mode="area")[:,0].numpy().astype(np.float16); M=F.interpolate(torch.from_numpy(M.astype(np.float32))[:,None],size=S,mode="area")[:,0].numpy()>0.2
tr,va,te=(split==s for s in ("train","val","test")); t0=time.time(); rng=np.random.default_rng(0)
print(x.shape,tr.sum(),va.sum(),te.sum(),y[tr].sum(),{str(s):(int((tr&(site==s)).sum()),int((tr&(site==s)&(y>0)).sum())) for s in np.unique(site)})
def draw(e):
    out=[]; 
    for p in rng.permutation(np.flatnonzero(tr&(y>0))):
        c=np.flatnonzero(tr&(y==0)&(site==site[p])); out+=[p,rng.choice(c)]
    return np.array(out)
def auroc(net,s,z=None):
    z=infer(net,x[s])[0] if z is None else z; w=[]
    for b in np.unique(site[s]):
        k=site[s]==b
        if 0<y[s][k].sum()<k.sum(): w.append((k.sum(),roc_auc_score(y[s][k],z[k])))
    return "all %.3f site %.3f"%(roc_auc_score(y[s],z),sum(a*b for a,b in w)/sum(a for a,b in w))
torch.manual_seed(int(os.environ.get("SEED","0")))
net=Net(pre=os.environ.get("NOPRE") is None,stop=int(os.environ.get("STOP","16")),r=float(os.environ.get("R","2"))).to(memory_format=torch.channels_last)
def log(e,l): print(e,round(l,3),round(time.time()-t0),"val",auroc(net,va),flush=True)
train(net,x,y,draw,int(os.environ.get("EP","15")),lr=float(os.environ.get("LR","1e-3")),log=log)
name=os.environ.get("NAME","frac_e0"); torch.save(net.state_dict(),f"/tmp/lab/{name}.pt")
dev=np.flatnonzero(va&(y>0)); 
def hits(a,k): 
    r=8*S/224; return np.mean([ndimage.distance_transform_edt(~m)[np.unravel_index(v.argmax(),v.shape)]<=r for v,m in zip(a,M[k])])
z,e=infer(net,x[dev]); print("val evidence pointing %.3f"%hits(np.stack([ndimage.zoom(v,S/len(v),order=1) for v in e]),dev))
for b in ("black","mean","blur"): print("val gxi",b,"%.3f"%hits(gxi(net,x[dev],b,sigma=6*S/224),dev),flush=True)
