from frac_att import *
import pickle,itertools
A,sco,dev2=pickle.load(open("/tmp/lab/frac_A.pkl","rb")); assert (dev2==dev).all(); res=[]
med=np.mean([sco[n] for n in ("p1","p2")],0); hi=med>np.median(med)
def rep(n,a): h=hit(a); res.append((h.mean(),n,h[hi].mean(),h[~hi].mean()))
base={}
for k,a in A.items():
    for s in (8,16): base[(k,s)]=norm(sm(a,s))
kinds=sorted({k[:-1] for k in A})
for kd in kinds:
    for s in (8,16):
        ks=[(kd+(n,),s) for n in ("e16","p1","p2") if kd+(n,) in A]
        for k in ks: rep(str(k),base[k])
        if len(ks)==3:
            for two in itertools.combinations(ks,2): rep("prod "+str(kd)+str(s)+" "+two[0][0][-1]+" x "+two[1][0][-1],base[two[0]]*base[two[1]])
            rep("prod3 "+str(kd)+str(s),np.prod([base[k] for k in ks],0)); rep("mean3 "+str(kd)+str(s),np.mean([base[k] for k in ks],0))
# different attributions of the same two product nets multiplied
loc=[k for k in kinds if k[-1] in (5,11,"gxi black") or "gxi black" in k]
for a,b in itertools.combinations(loc,2):
    for s in (8,16):
        for g in (("p1","p2"),("e16","p1","p2")):
            rep("prod %s x %s s%d nets %s"%(a,b,s,"+".join(g)),np.prod([base[(q+(n,),s)] for q in (a,b) for n in g],0))
for h,n,a,b in sorted(res,key=lambda t:-t[0])[:45]: print("%.3f above median %.3f below %.3f  %s"%(h,a,b,n))
print("--- all single and same-kind products")
for h,n,a,b in res:
    if " x (" not in n and " x '" not in n and "nets" not in n: print("%.3f above %.3f below %.3f  %s"%(h,a,b,n))
