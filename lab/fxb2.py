from fx import *
for S,fz,stop in ((384,3,16),(384,5,16),(384,5,11),(320,5,16)):
    net=Net(stop=stop).to(memory_format=torch.channels_last); b=net.b
    a=torch.randn(16,3,S,S).contiguous(memory_format=torch.channels_last)
    def step(m1,m2):
        t0=time.time()
        with torch.no_grad(), torch.autocast("cpu",torch.bfloat16,enabled=m1):
            x=F.relu6(b._bn0(b._conv_stem(a)))
            for i in range(fz): x=b._blocks[i](x)
        x=x.float() if not m2 else x; t1=time.time()
        with torch.autocast("cpu",torch.bfloat16,enabled=m2):
            for i in range(fz,stop): x=b._blocks[i](x)
            z=net.h(x).mean()
        t2=time.time(); z.backward(); return t1-t0,t2-t1,time.time()-t2
    for m in ((False,False),(True,False),(True,True)):
        step(*m); r=np.mean([step(*m) for _ in range(2)],0); print(S,fz,stop,m,r,r.sum(),flush=True)
