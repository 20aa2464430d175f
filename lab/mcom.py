from fx import *
import csv
d=np.load("/tmp/lab/mias.npz"); x,M,o,y,split,pat,site=d["x"].astype(np.float32),d["M"],d["o"],d["y"],d["split"],d["patient"],d["site"]
rows=list(csv.DictReader(open("/tmp/m/mias.csv"))); meta={r["image"].split("/")[-1]:r for r in csv.DictReader(open("/work/shared/data/mias/manifest.csv"))}
rr=[meta[r["image"].split("/")[-1]] for r in rows]; assert len(rr)==len(x) and all(int(int(a["label"])>0)==b for a,b in zip(rr,y)) and all(r["patient"]==p for r,p in zip(rr,pat))
sev=np.array([r["severity"] for r in rr]); abn=np.array([r["abnormality"] for r in rr])
for i in range(len(x)):
    c=o[i].sum(0)
    if (c*np.arange(len(c))).sum()/max(1,c.sum())>len(c)/2: x[i]=x[i][:,::-1]; o[i]=o[i][:,::-1]; M[i]=M[i][:,::-1]
other=np.array([[j for j in np.flatnonzero(pat==pat[i]) if j!=i][0] if (pat==pat[i]).sum()==2 else i for i in range(len(x))])
te=split=="test"; dv=~te
# 4 folds by patient over training + validation, stratified by the number of lesions
fold=np.full(len(x),-1); rng=np.random.default_rng(0); P=np.unique(pat[dv]); cnt=np.array([y[pat==p].sum() for p in P])
k=0
for c in (2,1,0):
    for p in rng.permutation(P[cnt==c]): fold[pat==p]=k%4; k+=1
def pt(a,k): return np.array([M[j][np.unravel_index(np.where(o[j],v,-np.inf).argmax(),v.shape)] for v,j in zip(a,k)])
def chance(k): return np.mean([(M[j]&o[j]).sum()/o[j].sum() for j in k])
les=np.flatnonzero(dv&(y>0)&M.any((1,2)))
def auc(z,s=dv):
    f=lambda v,s=s:"%.3f"%roc_auc_score(y[s],v[s])
    p=np.array([roc_auc_score(y[s][i],z[s][i]) for i in (np.random.default_rng(1).integers(0,s.sum(),(500,s.sum())))])
    m=s&((y==0)|(sev=="M"))
    mc=s&((y==0)|(abn!="CALC"))
    return f"AUROC {f(z)} ({np.percentile(p,2.5):.3f}-{np.percentile(p,97.5):.3f}) -half other {f(z-0.5*z[other])} -other {f(z-z[other])} M-vs-N {f(z,m)} noCALC {f(z,mc)}"
