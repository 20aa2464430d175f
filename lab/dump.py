from prep import *
jobs={"frac":("xray_trauma","/tmp/m/fracatlas.csv",["organ.method=none","data.side=384","data.cohort=null"]),
"mias":("xray_trauma","/tmp/m/mias.csv",["organ.method=breast","data.side=384","data.cohort=null","data.window=null"]),
"cxr":("xray_pneumonia","/tmp/m/cxr_pneu.csv",["data.side=224","data.normal_atlas=null","self_training.rounds=0","self_training.teacher=first_network"]),
"ctw":("ct_pneumonia","/tmp/m/chest_ct.csv",["organ.method=lungs_ct","organ.surroundings=kept","organ.margin=0.05","data.side=256","data.normal_atlas=null","data.cohort=null","data.window=null","data.normalization=none"]),
"ct":("ct_pneumonia","/tmp/m/chest_ct.csv",["organ.method=lungs_ct","data.side=256","data.normal_atlas=null","data.cohort=null","data.window=null"])}
for n in sys.argv[1:]:
    r,m,ov=jobs[n]; t0=time.time()
    x,o,t,M,known=prepared(r,m,ov)
    np.savez(f"/tmp/lab/{n}.npz",x=x.astype(np.float16)[...,0],o=o,M=M,known=known,y=(t.label>0).astype(int),split=np.array(t.split),site=np.array(t.site),patient=np.array(t.patient))
    print(n,x.shape,M.any((1,2)).sum(),{s:(np.array(t.split)==s).sum() for s in set(t.split)},round(time.time()-t0),flush=True)
