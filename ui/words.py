"""What each map and measure means and when it misleads, in two sentences with their source."""

MAPS = {
    "attention": (
        "Bright patches are those that {token} weighs most in this layer (Vaswani et al. 2017): "
        "what it looks at, not what it makes of it. Later layers may make nothing of it, and "
        "other attention may give the same answer (Jain & Wallace 2019)."
    ),
    "rollout": (
        "How much of each patch would reach CLS if each of these layers passed on half of what "
        "it got and half of what its heads, fused, mix in (Abnar & Zuidema 2020). It knows no "
        "class, and takes all heads to be of equal use, so it cannot say why this answer and not "
        "another."
    ),
    "relevance": (
        "Attention counts where more of it would raise the logit of {of}, carried through all "
        "layers (Chefer, Gur & Wolf 2021). It goes by slopes at this one picture: what two "
        "patches both say, or what is saturated, it underrates."
    ),
    "gradcam": (
        "Patches whose features in this layer, weighted by the slope of {of}, speak for it "
        "(Selvaraju et al. 2017). It was made for convolutions: here patches have exchanged what "
        "they know, and a bright one may stand for another."
    ),
}
OCCLUSION = (
    "Red: the probability of {of} falls when this patch is painted over (Zeiler & Fergus 2014); "
    "blue: it rises. It asks the model itself, but about pictures unlike any it has seen, and "
    "misses what two patches both say."
)
SIDE_BY_SIDE = (
    "Each map is scaled to sum 1, since their units differ. ρ: how alike it and occlusion order "
    "the patches (rank correlation, 1 is the same order)."
)
DELETION = (
    "For the predicted class, by the maps that explain it: patches are painted over, those "
    "highest in a map first; the sooner the probability falls, the more the model depends on "
    "what the map shows (Petsiuk et al. 2018). Painted pictures are strange to the model, and "
    "part of the fall is that: compare with the random orders (band: their range)."
)
INSERTION = (
    "Patches come back into a blurred picture, those highest in a map first; the sooner the "
    "probability rises, the better (Petsiuk et al. 2018). A model that names the class in the "
    "blur already leaves a map little to show."
)
READ_METHODS = """
- **A convincing map is not evidence.** Each method answers another question; where they disagree,
  ask the model.
- **Ask the model.** Occlusion, deletion and insertion change the picture and look at the answer.
  A map that orders patches no better than a random order gives no evidence that this prediction
  depends on what it shows.
- **Why cat, why not dog?** Attention and rollout know no class. Relevance and Grad-CAM do: put a
  second class beside the first, and look at where they differ.
- **The curves** are of the predicted class, whatever class the maps above explain.
- **One image is an anecdote.** The *Trust* page measures the same over a whole set.
"""
TRUST = {
    "deletion": (
        "Area under the probability as each map's best patches go: lower is better (Petsiuk et "
        "al. 2018). Where its interval lies clear of the random order's, the map says something "
        "about this model; where they overlap, its lead is small at most."
    ),
    "insertion": (
        "Area under the probability as they come back into a blurred picture: higher is better "
        "(Petsiuk et al. 2018). Its level depends on what the blur alone gives away, so compare "
        "maps, not models."
    ),
    "occlusion": (
        "Whether a map orders patches as covering each of them does (Zeiler & Fergus 2014). 0 is "
        "what chance gives; occlusion, too, misses what two patches both say."
    ),
    "object": (
        "How much of a map lies on the drawn object (energy-based pointing game, Wang et al. "
        "2020); an even map gets the object's share of the picture. A model may be right for the "
        "background's sake, so a map off the object can be the truer one."
    ),
}
READ_TRUST = """
- Every map of a model is measured on many images, and stands beside a **random order**, which
  knows nothing, and **occlusion**, which asks the model patch by patch.
- Occlusion leads deletion in part by construction: covering one patch is deletion's own first
  step.
- **Intervals** are 95 % bootstrap intervals of the mean: other images of the same kind would move
  the mean about as far. All maps are measured on the same images, so a lead may be surer than two
  intervals that overlap suggest.
- Deletion and insertion can disagree: one asks what is *necessary*, the other what is *enough*.
- A result holds for this model. Another one may use its attention otherwise.
"""
HEADS = {
    "distance": (
        "How far a head's patches look, weighted by their attention (Dosovitskiy et al. 2021, "
        "Figure 7). A mean hides the shape: a head that looks one patch to the side and one that "
        "looks half at itself, half two patches away, share it."
    ),
    "entropy": (
        "How widely its tokens look: 0, each at one token; the dashed line, at all alike "
        "(Shannon 1948). A wide head may be idle, or may do the averaging that others need."
    ),
    "cls_to_cls": (
        "How much of what CLS takes in by this head is its own. BERT's heads leave what they "
        "have no use for on a special token (Clark et al. 2019); much of it here may mean the "
        "same."
    ),
    "strength": (
        "The length of what a head hands to CLS, its values weighted by its attention (Kobayashi "
        "et al. 2020). Long is not useful: only knockout says what the answer would be without "
        "it."
    ),
}
AGREEMENT = (
    "1: two heads look at the same patches on every image; the cosine of two even maps is 1, "
    "too. Heads that agree may still hand on different things (Voita et al. 2019 find many to be "
    "redundant, by removing them)."
)
POSITIONS = {
    "learned": (
        "For each patch, where the other patches' position embeddings point the same way "
        "(Dosovitskiy et al. 2021, Figure 7). Bright rows and columns: the model learned the "
        "grid, although nobody told it; it says nothing of how positions are used."
    ),
    "sincos": (
        "For each patch, where the other patches' position embeddings point the same way "
        "(Dosovitskiy et al. 2021, Figure 7). This model was given its positions, as sines and "
        "cosines (Beyer et al. 2022), so they show the grid from the start."
    ),
}
FILTERS = (
    "The patterns in which the filters of the first layer differ most, strongest first, with "
    "their share of the variance (Dosovitskiy et al. 2021, Figure 7). Signs are arbitrary: light "
    "and dark may be swapped."
)
KNOCKOUT = (
    "A head that is off hands on zeros (Michel, Levy & Neubig 2019); the rest of the model was "
    "never trained without it. What is lost is what this model loses at once: one that learned "
    "to do without might lose less, and heads that stand in for each other each look worthless "
    "alone."
)
READ_HEADS = """
- **A dot is a head**, averaged over the images that the sidebar's filters leave: choose one class
  there to see the heads on that class alone.
- **Choose a head** by its layer and number to see which images make it do most and least.
- What a head looks at says little about what it is worth: **switch it off** below and look at the
  answer.
"""
