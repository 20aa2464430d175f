from mias_lin import *
L=np.load("/tmp/lab/mias_l1r4.npz"); X=feats((11,),1); V=np.flatnonzero(te); n=len(L["w"])
z=np.full(len(x),np.nan); e=np.zeros((len(V),576))
for w,b in zip(L["w"],L["b"]): e+=(X[0][V]@torch.from_numpy(w)+torch.from_numpy(b)).numpy()/n
z[V]=np.mean([pool(X[0][V]@torch.from_numpy(w)+torch.from_numpy(b),om[0][V],4).numpy() for w,b in zip(L["w"],L["b"])],0)
k=np.flatnonzero(te&(y>0)&M.any((1,2))); up=[ndimage.zoom(e[list(V).index(i)].reshape(24,24),16,order=1,grid_mode=True,mode="nearest") for i in k]; h=pt(up,k)
print("test n",te.sum(),"pos",y[te].sum(),auc(z,te)); bo=[h[np.random.default_rng(i).integers(0,len(h),len(h))].mean() for i in range(1000)]
zz=z-0.5*z[other]; p=[roc_auc_score(y[te][i],zz[te][i]) for i in np.random.default_rng(2).integers(0,te.sum(),(1000,te.sum()))]
print("chosen score (own - half other): %.3f (%.3f-%.3f)"%(roc_auc_score(y[te],zz[te]),*np.percentile(p,[2.5,97.5])),"pointing %.3f (%.3f-%.3f) of %d chance %.3f"%(h.mean(),*np.percentile(bo,[2.5,97.5]),len(k),chance(k)))
hs=zz[k]>np.median(zz[k]); print("pointing above median score %.3f below %.3f"%(h[hs].mean(),h[~hs].mean()), "two breasts known", np.mean(other[te]!=V))
