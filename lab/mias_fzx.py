from mcom import *
t0=time.time(); net=Net(stop=16); net.eval(); b=net.b; NA=int(os.environ.get("NA","6")); F_={5:[],11:[],16:[]}; OM=[]
xx=np.stack([x,o.astype(np.float32)],1)
for a in range(NA+1):
    out={5:[],11:[],16:[]}; om=[]
    for i in range(0,len(x),16):
        t=torch.from_numpy(x[i:i+16])[:,None]; m=torch.from_numpy(o[i:i+16].astype(np.float32))[:,None]
        if a: t,m=aug(t,1000*a+i,flip=False,rot=15,shift=0.06,m=m)
        with torch.no_grad(), bf():
            h=(t*0.5).expand(-1,3,-1,-1).contiguous(memory_format=torch.channels_last); h=F.relu6(b._bn0(b._conv_stem(h)))
            for j,k in enumerate(b._blocks):
                h=k(h)
                if j+1 in out: q=h.float(); q=F.avg_pool2d(q,2) if j+1==5 else q; out[j+1].append(q.numpy().astype(np.float16))
        om.append(F.adaptive_avg_pool2d(m,24)[:,0].numpy()>0.5)
    for j in out: F_[j].append(np.concatenate(out[j]))
    OM.append(np.concatenate(om)); print(a,round(time.time()-t0),flush=True)
np.savez("/tmp/lab/mias_fz.npz",f5=np.stack(F_[5]),f11=np.stack(F_[11]),f16=np.stack(F_[16]),om=np.stack(OM))
