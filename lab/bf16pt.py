import torch,time,sys,torch.nn as nn,torch.nn.functional as F
mode=sys.argv[1]
class B(nn.Module):
    def __init__(s,i,o):
        super().__init__(); s.a=nn.Conv2d(i,o,3,padding=1,bias=False); s.n=nn.BatchNorm2d(o); s.b=nn.Conv2d(o,o,3,padding=1,bias=False); s.m=nn.BatchNorm2d(o); s.c=nn.Conv2d(i,o,1,bias=False) if i!=o else None
    def forward(s,x):
        y=s.m(s.b(F.relu(s.n(s.a(x))))); return F.relu(y+(s.c(x) if s.c else x))
L=[nn.Conv2d(1,16,5,2,2,bias=False),nn.BatchNorm2d(16),nn.ReLU()]; i=16
for l,(f,n) in enumerate(zip((16,32,64,128),(1,1,2,2))):
    for b in range(n):
        if b==0 and l>0: L.append(nn.AvgPool2d(2))
        L.append(B(i,f)); i=f
L.append(nn.Conv2d(128,1,1)); net=nn.Sequential(*L).to(memory_format=torch.channels_last)
opt=torch.optim.AdamW(net.parameters(),1e-3)
a=torch.randn(16,1,384,384).to(memory_format=torch.channels_last); y=(torch.rand(16)>.5).float()
def step():
    with torch.autocast("cpu",torch.bfloat16,enabled=mode=="bf16"):
        e=net(a)
    l=F.binary_cross_entropy_with_logits(torch.logsumexp(e.float().flatten(1),1),y); opt.zero_grad(); l.backward(); opt.step()
for k in range(3): step()
t=time.time()
for k in range(8): step()
print("torch",mode,(time.time()-t)/8)
