from mias_syn import *
net=Net(stop=16); net.eval(); b=net.b; N0=np.flatnonzero(y==0); rng=np.random.default_rng(0); out=[]; om=[]; K=int(os.environ.get("K","6")); src=[]; N0=np.flatnonzero(dv&(y==0))
for c in range(K):
    for i in range(0,len(N0),16):
        r=N0[i:i+16]; t=torch.from_numpy(np.stack([synth(x[j],o[j],rng) for j in r]))[:,None]; m=torch.from_numpy(o[r].astype(np.float32))[:,None]
        if c%2: t,m=aug(t,7000*c+i,flip=False,rot=15,shift=0.06,m=m)
        with torch.no_grad(), bf():
            h=(t*0.5).expand(-1,3,-1,-1).contiguous(memory_format=torch.channels_last); h=F.relu6(b._bn0(b._conv_stem(h)))
            for k in b._blocks[:11]: h=k(h)
        out.append(h.float().numpy().astype(np.float16)); om.append(F.adaptive_avg_pool2d(m,24)[:,0].numpy()>0.5); src+=list(r)
np.savez("/tmp/lab/mias_fzs.npz",f=np.concatenate(out),om=np.concatenate(om),src=np.array(src)); print("done",len(src))
