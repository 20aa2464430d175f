from mias_lin import *
# asym 0 head folded into the network, so gradient x input can be computed; 4 folds x 1 seed
X=feats((11,),0); t=torch.from_numpy(f[11][0].astype(np.float32)); mu=t[dv].mean((0,2,3)); sd=t[dv].std((0,2,3))+1e-6
z=np.zeros(len(x)); at={c:np.zeros(M.shape,np.float32) for c in (1,)}; ev=np.zeros(M.shape,np.float32)
for fo in range(4):
    V=np.flatnonzero(fold==fo); w,b,l=fit(X,dv&(fold!=fo),4,0.1,0.5,250,0,3e-3); e=X[0][V]@w+b; z[V]=pool(e,om[0][V],4).numpy()
    e=e.reshape(-1,24,24).numpy(); ev[V]=np.stack([ndimage.zoom(v,16,order=1,grid_mode=True,mode="nearest") for v in e])
    n=Net(stop=11,r=4).to(memory_format=torch.channels_last); n.h.weight.data=(w/sd)[None,:,None,None].clone(); n.h.bias.data=(b-(w*mu/sd).sum()); n.requires_grad_(False)
    k=V[(y[V]>0)]; at[1][k]=gxi(n,x[k],"black",copies=2,sigma=0)
    if fo==0: print("check evidence of folded network",np.abs(infer(n,x[V[:8]],flip=False)[1]-e[:8]).max(),np.abs(e).max(),flush=True)
print(auc(z),"evidence %.3f"%pt(ev[les],les).mean())
for s in (4,6,8,12,16): g=[ndimage.gaussian_filter(at[1][i],s) for i in les]; print(s,"gxi %.3f"%pt(g,les).mean(),"gxi x sigmoid evidence %.3f"%pt([a/(1+np.exp(-ev[i])) for a,i in zip(g,les)],les).mean(),flush=True)
