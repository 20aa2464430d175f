from prep import *
t0=time.time()
from clamnet_tf.data.normal_atlas import NormalAtlas
for norm in ("zscore","none"):
    x,o,t,M,known=prepared("ct_pneumonia","/tmp/m/chest_ct.csv",["organ.method=lungs_ct","data.side=128","data.cohort=null","data.window=null",f"data.normalization={norm}"])
    tr=t.split=="train"; Y=(t.label>0).astype(int); med=np.flatnonzero((t.site=="medseg")&known&(Y>0)); sp=(t.split=="val")
    print(norm,x.shape,"lung median train normal",np.median(x[tr&(Y==0)][:200][o[tr&(Y==0)][:200]]),"train covid",np.median(x[tr&(Y>0)][:200][o[tr&(Y>0)][:200]]),"medseg",np.median(x[med][o[med]]),"lesion",np.median(x[med][M[med]]),"healthy",np.median(x[med][o[med]&~M[med]]),flush=True)
    for s in (0,1,2,3):
        num=np.stack([ndimage.gaussian_filter(i*oo,s)/np.maximum(ndimage.gaussian_filter(oo.astype(np.float32),s),1e-3) if s else i for i,oo in zip(x[med][...,0],o[med])])
        vals=np.quantile(num[o[med]],np.linspace(0.2,0.9,15))
        d=[np.mean([dice((i>c)&oo,m) for i,oo,m in zip(num,o[med],M[med])]) for c in vals]
        print("  smooth",s,"best cut %.2f Dice %.3f"%(vals[int(np.argmax(d))],max(d)),"best per slice %.3f"%np.mean([max(dice((i>c)&oo,m) for c in vals) for i,oo,m in zip(num,o[med],M[med])]),flush=True)
    nn=np.flatnonzero(tr&(Y==0))[:400]
    for s in (0.5,2.0,4.0):
        at=NormalAtlas.fit(x[nn],o[nn],channel=0,smoothing=s,sign=1); dv=at.deviation(x[med],o[med]); 
        cs=np.linspace(-0.5,3,29); d=[np.mean([dice((i>c)&oo,m) for i,oo,m in zip(dv,o[med],M[med])]) for c in cs]
        vv=at.deviation(x[sp],o[sp]); sc=[np.mean(np.where(oo,np.maximum(v,0),0))/max(oo.mean(),1e-3) for v,oo in zip(vv,o[sp])]
        print("  atlas",s,"best cut %.2f Dice %.3f"%(cs[int(np.argmax(d))],max(d)),"point %.3f"%np.mean([m[np.unravel_index(np.where(oo,v,-9).argmax(),v.shape)] for v,oo,m in zip(dv,o[med],M[med])]),"AUROC sp val %.3f"%roc_auc_score(Y[sp],sc),round(time.time()-t0),flush=True)
