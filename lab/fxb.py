from fx import *
import sys
for S in (320,):
  for mode in ("bf16_cl","f32_cl","f32","bf16"):
    net=Net()
    if "cl" in mode: net=net.to(memory_format=torch.channels_last)
    opt=torch.optim.AdamW(net.parameters(),1e-4)
    a=torch.randn(8,1,S,S); 
    if "cl" in mode: a=a.contiguous(memory_format=torch.channels_last)
    def step():
        t0=time.time()
        with torch.autocast("cpu",torch.bfloat16,enabled="bf16" in mode): z,_=net(a)
        t1=time.time(); z.float().sum().backward(); t2=time.time(); opt.step(); opt.zero_grad(); return t1-t0,t2-t1,time.time()-t2
    step(); print(S,mode,np.mean([step() for _ in range(2)],0),flush=True)
