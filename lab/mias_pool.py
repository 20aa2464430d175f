from mias_lin import *
def poolp(kind,r):
    def f(e,m,_):
        p=torch.sigmoid(e); mf=m.float(); n=mf.sum(1)
        if kind=="lsep": s=torch.log((torch.exp(r*p)*mf).sum(1)/n)/r
        else:
            pk=(p*mf).max(1)[0].detach(); s=pk*(((p/pk[:,None]).clamp(1e-6)**r*mf).sum(1)/n)**(1/r)
        s=s.clamp(1e-6,1-1e-6); return torch.log(s/(1-s))
    return f
import mias_lin as ML
X0=feats((11,),0)
for kind,r in (("logit",4),("lsep",5),("lsep",20),("gm",6),("gm",20)):
    ML.pool=pool if kind=="logit" else poolp(kind,r)
    ML.feats=lambda *a,**k: X0
    print(kind,r,end=" "); ML.cv((11,),0,r,0.1,0.5,250,1,3e-3)
