from prep import *
t0=time.time()
x,o,t,M,known=prepared("ct_nodule","/tmp/m/lidc_patches.csv")
tr,va,te=(t.split==s for s in ("train","val","test")); Y=(t.label>0).astype(int)
print(x.min(),x.max(),x.std(),o.mean(),flush=True)
def evaluate(net,name):
    for n,s in (("val",va),("test",te)):
        p=tf.sigmoid(predict(net,x[s])).numpy(); pos=Y[s]>0; m=M[s]
        print(name,n,"Dice@.5 %.3f .3 %.3f .7 %.3f"%tuple(np.mean([dice(q>c,mm>0) for q,mm in zip(p[pos],m[pos])]) for c in (.5,.3,.7)),"AUROC %.3f"%roc_auc_score(pos,p.max((1,2))),"normals %.4f"%(p[~pos]>0.5).mean(),round(time.time()-t0),flush=True)
for name,fl in (("d3",(16,32,64)),):
    keras.utils.set_random_seed(0); s=unet(48,fl); train_student(s,x[tr],M[tr].astype(np.float32),np.ones(M[tr].shape,np.float32)); evaluate(s,name)
