from fx import *
def product_nets(f="/tmp/runs/frac_t0/checkpoints/classifiers/candidate-00000434.npz"):
    d=np.load(f); v=[d[k] for k in d]; h=len(v)//2; out=[]
    for part in (v[:h],v[h:]):
        it=iter(part); n=Net(pre=False,stop=16); b=n.b; t=lambda a:torch.from_numpy(np.array(a,np.float32))
        def cv(m,dw=False):
            w=next(it); w=t(w).permute(2,3,0,1) if dw else t(w).permute(3,2,0,1)
            if w.shape!=m.weight.shape: assert w.shape[1]==1 and m.weight.shape[1]==3; w=w.expand(-1,3,-1,-1)/3
            m.weight.data=w.contiguous()
        def bn(m):
            for q in (m.weight,m.bias,m.running_mean,m.running_var): a=t(next(it)); assert a.shape==q.shape; q.data=a
        cv(b._conv_stem); bn(b._bn0)
        for k in b._blocks:
            if hasattr(k,"_expand_conv"): cv(k._expand_conv); bn(k._bn0)
            cv(k._depthwise_conv,True); bn(k._bn1); cv(k._project_conv); bn(k._bn2)
        w=next(it); n.h.weight.data=t(w).permute(3,2,0,1).contiguous(); n.h.bias.data=t(next(it)); assert next(it,None) is None
        out.append(n.to(memory_format=torch.channels_last).eval())
    return out
