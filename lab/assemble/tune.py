import re, sys
from pathlib import Path
import yaml
src, dst = Path(sys.argv[1]), Path(sys.argv[2])
SECTION = re.compile(r"^# (From files to|Where the organ|How slices are paired|The UNet\+\+ grid|The second of the two|The hybrid loss and|Steps and batches|Further networks taught|Checkpoint and threshold|From heads to masks)")
common = {
  "    tolerance: 0.05\n    same_site: false\n  network:": "    tolerance: 0.05\n    same_site: false\n  network:",
}
NETWORK_UNUSED = {"self_training:\n": "self_training: # without rounds none of this is used; it belongs to the recipe's hash\n"}
HEIGHTS = {"self_training:\n  rounds: 1\n": "self_training:\n  rounds: 1\n"}
T = {
"mri_carcinoma": [
 ("  side: 128\n", "  side: 128 # the paper has 256\n"),
 ('method: brain # brain (of axial slices of the head), foreground (the head: largest bright component, holes filled), given (masks of the manifest) or none', 'method: brain # of axial slices of the head; foreground takes the whole head'),
 ("channel_loss: 0.3 # probability that channels are replaced by another, like sequences that an archive lacks", "channel_loss: 0.3 # archives lack sequences"),
 ("main_channel: 1 # the one that fills the gaps, in half of the draws all others (kaggle_3m: 1, FLAIR); null: one channel by any other", "main_channel: 1 # FLAIR of kaggle_3m fills the gaps"),
 ('    "on": position\n', '    "on": position # quoted, since YAML 1.1 tools take on for true\n'),
 ("network:\n  depth: 3\n", "network:\n  depth: 3 # the paper has 5 levels, 16 to 256 filters, kernels up to 7\n"),
 ("  norm: none\n", "  norm: none # statistics of a whole slice would give its label away\n"),
 ("  matching:\n    \"on\": none\n", "  matching: # every height is shown, since marks come from pixels and height is no shortcut any more\n    \"on\": none\n"),
 ("    depth: 4\n", "    depth: 4 # deeper and with group norm, since its marks come from pixels\n"),
 ("prevalence: 0.09 # expected marked fraction of the organ in abnormal slices; set near LGG's true 0.097: set your own", "prevalence: 0.09 # of the organ in abnormal slices, near LGG's true 0.097: set your own"),
 ("  checkpoint: last\n", "  checkpoint: last # where the cosine ends\n"),
 ("one_sided: true # in that, a component weighs less the more is marked at its mirrored place: a tumour is on one side, orbits and ventricles are on both", "one_sided: true # a tumour is on one side, orbits and ventricles are on both"),
],
"mri_carcinoma_paper": [
 ("network:\n  norm: batch\n", "network: # depth 5, filters 16 to 256 and kernels 3, 3, 5, 5, 7 are the defaults\n  norm: batch\n"),
 ("    levels: random\n    count: 2\n", "    levels: random # two are drawn with the seed; `recipe show` names them\n    count: 2\n"),
 ("self_training:\n", "self_training: # rounds is 0: none of this is used; it is part of the recipe's hash\n"),
 ("prevalence: 0.09 # expected marked fraction of the organ in abnormal slices; set near LGG's true 0.097: set your own\n  threshold: 0.5\n", "prevalence: 0.09 # used in reports alone, since the threshold is fixed\n  threshold: 0.5\n"),
 ("  checkpoint: last # the mask-free rule, or last\n", "  checkpoint: last\n"),
],
"ct_carcinoma": [
 ("window: {center: 40.0, width: 400.0} # fixed intensity window, in HU: the soft-tissue window", "window: {center: 40.0, width: 400.0} # HU: the soft-tissue window"),
 ("method: given # liver masks of the manifest, as any liver segmentation writes them; body (without table and clothing) needs none, and is harder", "method: given # liver masks of the manifest; body needs none, and is harder"),
 ("  norm: none\n", "  norm: none # statistics of a whole slice would give its label away\n"),
 ("prevalence: 0.09 # expected marked fraction of the organ in abnormal slices; set near the cohort's true one: set your own", "prevalence: 0.09 # of the liver in abnormal slices, near the cohort's true one: set your own"),
 ("inference:\n", "inference: # one_sided stays false: the liver is not alike on both sides\n"),
],
"ct_haemorrhage": [
 ("# Several conditions at once, told apart by the manifest's column markers: class 1, 2 .. of the network and of masks, in this order [8].\n", "# Told apart by the manifest's column markers: class 1, 2 .. of the network and of masks, in this order.\n"),
 ("eta: 0.9 # P(a slice that names it holds it): its weight, unless the manifest gives the slice one; null: loss.eta [9]", "eta: 0.9 # weight of a slice that names it, unless the manifest gives the slice one"),
 ("prevalence: 0.045 # expected marked fraction of the inside of the skull in such slices, set near the cohort's true one; null: selection.prevalence", "prevalence: 0.045 # of the inside of the skull in such slices, near the cohort's true one"),
 ("window: {center: 40.0, width: 80.0} # brain window, in HU; pictures of 8 bits are taken to show it already", "window: {center: 40.0, width: 80.0} # HU: the brain window; pictures of 8 bits are taken to show it already"),
 ("normalization: window # the window to 0..1: what is outside of the skull stays dark, so that its border is seen (zscore would make it average)", "normalization: window # what is outside of the skull stays dark, so that its border is seen"),
 ("lesions: brighter} # one channel more: how far above normal slices at that place of the skull", "lesions: brighter}"),
 ("intensity: 0.05 # brightness and contrast; Hounsfield units do not change", "intensity: 0.05 # Hounsfield units do not change"),
 ("  norm: none\n", "  norm: none # statistics of a whole slice would give its label away\n"),
 ("classes: 3 # background and the two markers [8]", "classes: 3 # background and the two markers"),
 ("eta: 0.8 # of markers that give none of their own [9]", "eta: 0.8 # of markers that give none of their own"),
 ("  teacher: normal_atlas # its marks teach; which marker they are says the label, where it names one alone. Pairs learn subdural blood alone (EXPERIMENTS H1)", "  teacher: normal_atlas # pairs learn subdural blood alone (EXPERIMENTS H1)"),
 ("inference:\n", "inference: # appearance stays 0, since both kinds of blood have the same; one_sided was not measured here\n"),
],
"ct_pneumonia": [
 ("window: {center: -600.0, width: 1500.0} # fixed intensity window, in HU: the lung window", "window: {center: -600.0, width: 1500.0} # HU: the lung window"),
 ("method: given # lung masks of the manifest, as any lung segmentation writes them; foreground (the body) needs none, and is harder", "method: given # lung masks of the manifest; lungs_ct needs none"),
 ("  norm: none\n", "  norm: none # statistics of a whole slice would give its label away\n"),
 ("selection:\n", "selection: # the default prevalence, 0.06, is near the cohort's true one: set your own\n"),
 ("inference:\n", "# Pneumonia is often on both sides, and ground glass and consolidation have no density in common: neither\n# one_sided nor appearance.\ninference:\n"),
],
"ct_trauma": [
 ("window: {center: 40.0, width: 120.0} # in HU, that of CT-ICH's pictures, which show it already (pictures of 8 bits are taken to)", "window: {center: 40.0, width: 120.0} # HU, that of CT-ICH's pictures; pictures of 8 bits are taken to show it already"),
 ("normalization: window # the window to 0..1: Hounsfield units mean the same in every head (zscore, percentile, none: of the volume)", "normalization: window # Hounsfield units mean the same in every head"),
 ("lesions: brighter} # one channel more: how far above normal slices at that place of the skull", "lesions: brighter}"),
 ("intensity: 0.05 # brightness and contrast; Hounsfield units do not change", "intensity: 0.05 # Hounsfield units do not change"),
 ("  norm: none\n", "  norm: none # statistics of a whole slice would give its label away\n"),
 ("teacher: normal_atlas # its marks teach, and no first network is trained: too few patients for it (EXPERIMENTS T1, T2)", "teacher: normal_atlas # too few patients for a first network (EXPERIMENTS T1, T2)"),
 ("prevalence: 0.03 # expected marked fraction of the inside of the skull in abnormal slices", "prevalence: 0.03 # of the inside of the skull in abnormal slices"),
 ("  checkpoint: last\n", "  checkpoint: last\n\n# Nothing of section inference: CT-ICH holds every fourth normal slice only, so that through_plane has no neighbours\n# (about 1 for whole volumes), and blood lies in several places, so that main_component would lose some.\n"),
],
"xray_lungs": [
 ("cohort: null # simulated patients to run on without --data: there are none of chest X-rays", "cohort: null # there is none of chest X-rays"),
 ("method: none # the whole picture: nothing is known yet", "method: none # this network is what finds the organ"),
 ("self_training:\n", "self_training: # rounds is 0: none of this is used; it is part of the recipe's hash\n"),
 ("prevalence: 0.09 # expected marked fraction of the organ in abnormal slices; set near LGG's true 0.097: set your own\n  threshold: 0.5 # of the probability\n", "prevalence: 0.09 # not used, since the threshold is fixed\n  threshold: 0.5\n"),
 ("supervision: masks # of the manifest", "supervision: masks"),
 ("flip_views: true # average with the mirrored picture", "flip_views: true"),
],
"xray_pneumonia": [
 ("cohort: null # simulated patients to run on without --data: there are none of chest X-rays", "cohort: null # there is none of chest X-rays"),
 ("channels: [0] # gray: of pictures saved as RGB the first", "channels: [0] # gray pictures that are saved as RGB"),
 ("lesions: brighter} # one channel more: how far above normal images at that place of the lungs", "lesions: brighter}"),
 ("side: 64 # pixels of a prepared slice: the sets have 224 and up to 512 pixels; 128 gives the same figure in four times the time (EXPERIMENTS X10, X11)", "side: 64 # 128 gives the same figure in four times the time (EXPERIMENTS X10, X11)"),
 ("method: network # the lungs; foreground, given (masks of the manifest) and others: see the schema", "method: network"),
 ("network: xray_lungs # a zoo entry or a run folder", "network: xray_lungs # of the zoo"),
 ("margin: 0.05 # around the lungs, as a fraction of their box", "margin: 0.05"),
 ("  norm: none\n", "  norm: none # statistics of a whole image would give its label away\n"),
 ("teacher: normal_atlas # its marks teach, and no first network is trained: what pairs of children teach does not carry over to adults", "teacher: normal_atlas # what pairs of children teach does not carry over to adults"),
 ("marker: 0.35 # share of the lungs taken as marker, highest first", "marker: 0.35 # of the lungs: less than selection.prevalence, the surest alone"),
 ("prevalence: 0.5 # expected marked fraction of the lungs in abnormal images", "prevalence: 0.5 # of the lungs in abnormal images"),
],
"xray_trauma": [
 ("slices: 1 # views per patient: 1 (front) or 2 (and side)", "slices: 1 # the front view"),
 ("  side: 112\n", "  side: 112 # of the arm, which is the foreground\n"),
 ("stretch: [0.9, 1.0] # height and width after compression: 90-100 %, since the line is thin; the paper has 80-100 %", "stretch: [0.9, 1.0] # since the line is thin; the paper has [0.8, 1.0]"),
 ('"on": none # position (in the volume), area (of the organ) or none: single images have no position; quoted, since YAML 1.1 tools take on for true', '"on": none # single images have no position'),
 ("network:\n  depth: 3\n", "network: # group norm, the default: without it nothing is learned in so few steps\n  depth: 3\n"),
 ("pooling_power: 12.0 # exponent of the generalised mean that pools pixels: high, since the line is a small part of the arm", "pooling_power: 12.0 # high, since the line is a small part of the arm"),
 ("self_training:\n", "self_training: # rounds is 0: none of this is used; it is part of the recipe's hash\n"),
 ("prevalence: 0.03 # expected marked fraction of the organ in abnormal images; set near the cohort's true one: set your own", "prevalence: 0.03 # of the arm in abnormal images, near the cohort's true one: set your own"),
 ("inference:\n  smallest_component: 0.004\n", "inference: # appearance stays 0: a fracture has no density of its own\n  smallest_component: 0.004\n"),
],
}
for name, changes in T.items():
    text=(src/f"{name}.yaml").read_text()
    said=f"# Only what differs from the defaults is written; `clamnet-tf recipe show {name}` prints every key with its value."
    if "# Every key" in text:
        start=text.index("# Every key"); end=text.index("\n\n",start)
        old=text[start:end]
        size="\n# The size is chosen for a computer with 2 cores and no GPU." if "size is chosen" in old else ""
        text=text[:start]+said+size+text[end:]
    else:
        text=text.replace("\n\nname:","\n#\n"+said+"\n\nname:",1)
    lines=[l for l in text.split("\n") if not SECTION.match(l) and not l.startswith("  # each of the three")]
    text=re.sub(r"\n{3,}","\n\n","\n".join(lines))
    for old,new in changes:
        assert text.count(old)>=1,(name,old)
        text=text.replace(old,new,1)
    for i,l in enumerate(text.split("\n")):
        if len(l)>110 and i>22: print(name,i+1,len(l),l)
    (dst/f"{name}.yaml").write_text(text.rstrip("\n")+"\n")
