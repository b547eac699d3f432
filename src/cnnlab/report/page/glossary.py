"""The terms of a report that a student may not know, each explained once."""

from typing import NamedTuple


class Term(NamedTuple):
    """A term of the report.

    Attributes:
        pattern: Regular expression that finds it in the text of a page, with its upper and lower case.
        definition: What it means: one or two sentences of plain text, for some with the source of the method.
    """

    pattern: str
    definition: str


TERMS = {
    "95 % interval": Term(
        r"\b95 % intervals?\b",
        "A range for a true value, estimated from a few runs. In 95 % of repetitions with other seeds and "
        "other images, such a range contains the true value.",
    ),
    "budget": Term(
        r"\b[Bb]udgets?\b|\bProfile\b|\bprofiles?\b",
        "How many seeds, epochs and images are used. A profile is a named budget: smoke, quick, laptop or full.",
    ),
    "calibration": Term(
        r"\b[Cc]alibration\b",
        "Whether a model's probabilities are right: of the predictions with a probability of 0.8, 80 % should be "
        "correct (Guo et al. 2017, arXiv:1706.04599).",
    ),
    "claim": Term(
        r"\b[Cc]laims?\b",
        "A sentence about the difference between two trials, written down before the runs. It is supported if the 95 % "
        "interval lies above what is claimed, refuted if it lies below, and inconclusive otherwise.",
    ),
    "confusion matrix": Term(
        r"\b[Cc]onfusion matri(?:x|ces)\b",
        "A table of predictions: a row for each true class, a column for each predicted class. What is right lies on "
        "the diagonal.",
    ),
    "degrees of freedom": Term(
        r"\bdegrees? of freedom\b",
        "How much information an estimate of a standard deviation rests on. With few of them, intervals are wide.",
    ),
    "difference": Term(
        r"\b[Dd]ifferences?\b",
        "The mean score of a trial less that of the reference. Above zero, the trial has the higher score.",
    ),
    "doubtful label": Term(
        r"\b[Dd]oubtful labels?\b",
        "A label that several runs contradict: they have not trained on the image, and their mean prediction is "
        "another class (confident learning, Northcutt et al. 2021, doi:10.1613/jair.1.12125). It may be wrong, or the "
        "image is hard.",
    ),
    "draw": Term(
        r"\bdraws?\b",
        "A random choice of the training and validation images. Usually each seed has a draw of its own, which all "
        "trials share.",
    ),
    "early stopping": Term(
        r"\b[Ee]arly stopping\b",
        "Training ends once val_loss, the loss on the validation images, has not improved for some epochs. Then the "
        "weights of the epoch with the lowest val_loss are kept (Prechelt 1998, doi:10.1007/3-540-49430-8_3).",
    ),
    "epoch": Term(r"\b[Ee]pochs?\b", "One pass of the training through all training images."),
    "importance": Term(
        r"\b[Ii]mportances?\b",
        "How much worse a forest predicts the scores of configurations once the values of one setting are shuffled "
        "(Breiman 2001, doi:10.1023/A:1010933404324). A setting with a high importance changes the score most.",
    ),
    "incumbent": Term(
        r"\b[Ii]ncumbents?\b|\bunchanged\b",
        "The trial that the previous stage selected. If no trial of a stage equals it, it is called “unchanged” there.",
    ),
    "joint search": Term(
        r"\b[Jj]oint search(?:es)?\b",
        "A search over several settings at once. The other stages vary one setting after the other.",
    ),
    "learning curve": Term(
        r"\b[Ll]earning curve\b",
        "The score of the final model with more and more training images. If the score still rises at the end, more "
        "images would probably help.",
    ),
    "macro average": Term(
        r"\b[Mm]acro average\b|\b[Ww]eighted average\b",
        "The mean over all classes, each with the same weight. In a weighted average, each class has the "
        "weight of its number of images.",
    ),
    "macro-F1": Term(
        r"\b[Mm]acro-F1\b",
        "A score from 0 (nothing right) to 1 (all right): the mean of the F1 scores of all classes, each with the same "
        "weight. The F1 score of a class is the harmonic mean of its precision and its recall.",
    ),
    "mistake": Term(
        r"\b[Mm]istakes?\b",
        "An error of the published study. A model is run with it and without it, which shows its effect.",
    ),
    "mixed_bfloat16": Term(
        r"\bmixed_bfloat16\b",
        "Computing with numbers of 16 bits, while the parameters keep 32: faster on many processors, and less exact.",
    ),
    "not learned": Term(
        r"\b(?:not|no (?:other )?trial has|neither trial has) learned\b",
        "The runs of the trial, taken together, are not clearly better than always guessing the most frequent class; "
        "or one run is not, and its loss became infinite.",
    ),
    "one-hot labels": Term(
        r"\b[Oo]ne-hot labels?\b",
        "Labels as rows of zeros with a 1 at the place of the class. Integer labels are the number of the class.",
    ),
    "one-standard-error rule": Term(
        r"\b[Oo]ne-standard-error rule\b|\bwithin one standard error\b",
        "Of the trials whose mean val_f1 is within one standard error of the best mean, the one with the fewest "
        "parameters is selected. It is smaller and about as good (Breiman et al., Classification and Regression Trees, "
        "1984).",
    ),
    "oracle": Term(
        r"\b[Oo]racles?\b",
        "The part of Keras Tuner that proposes trials. The random one draws them at random; the Bayesian one is told "
        "the scores so far, and looks where a high score is likely.",
    ),
    "overfitting": Term(
        r"\b[Oo]verfit(?:s|ting)?\b",
        "A model fits the training images better than new images. Here this is said if the training accuracy is more "
        "than 5 points above the validation accuracy.",
    ),
    "padding": Term(
        r"\b[Pp]adding\b",
        "What a convolution does at the edges of an image. With same padding, its output is as large as its input; "
        "with valid padding, it is smaller.",
    ),
    "parameters": Term(
        r"\b[Pp]arameters\b|\bparams\b",
        "The numbers in a model, nearly all of them learned in training. A model with fewer parameters is smaller.",
    ),
    "patience": Term(
        r"\b[Pp]atience\b", "How many epochs early stopping waits for a lower val_loss before it ends the training."
    ),
    "points": Term(
        r"(?<=\d )points\b|^points$",
        "0.01 of a score: from a macro-F1 of 0.40 to one of 0.43, the difference is 3 points.",
    ),
    "precision": Term(
        r"\bprecision\b", "Of the images that are predicted as a class, the share that really belongs to it."
    ),
    "protocol": Term(
        r"\b[Pp]rotocol\b",
        "How the runs are made. The corrected protocol draws the images at random and selects by val_f1; the published "
        "one repeats what was published, mistakes and all.",
    ),
    "published study": Term(
        r"\b[Pp]ublished study\b|\bpublished (?:F1|choices?|fits?|scores?)\b|\bpublished\b(?= *$)",
        "The student report whose study cnnlab repeats: nine CNN designs on CIFAR-10, with one run for each trial. The "
        "column “published” shows its macro-F1 on its own test images.",
    ),
    "quasi-random": Term(
        r"\b[Qq]uasi-random\b",
        "Chosen so that the points cover the space evenly: random points leave gaps and lie close together elsewhere "
        "(Halton 1960, doi:10.1007/BF01386213).",
    ),
    "recall": Term(r"\brecall\b", "Of the images of a class, the share that is predicted as this class."),
    "reference": Term(
        r"\breference\b",
        "The trial that all others are compared with: the incumbent, or the first trial where there is no incumbent.",
    ),
    "run": Term(
        r"(?i:\b(?:a|all|best|each|every|its|of|one|per|same|single|these|[0-9]+) runs?\b)|^runs?$",
        "The training and scoring of one trial with one seed.",
    ),
    "seed": Term(
        r"\b[Ss]eeds?\b(?! needed)",
        "The number from which a run draws its random numbers: for the first weights, the order of the images and "
        "dropout, and usually for the draw of the images. Two seeds show how much a score changes by chance.",
    ),
    "seeds needed": Term(
        r"\b[Ss]eeds needed\b|\bseeds per trial would probably show\b",
        "With so many seeds per trial, a true difference as large as the measured one would be found in 80 % of "
        "repetitions. “More images” means that more seeds alone would not show it.",
    ),
    "selected": Term(
        r"\b[Ss]elect(?:s|ed|ion|ions)?\b", "A stage selects one of its trials: the incumbent of the next stage."
    ),
    "simultaneous interval": Term(
        r"\b[Ss]imultaneous(?: 95 %)? intervals?\b|\bhold together\b",
        "The 95 % intervals of a stage hold together: in 95 % of repetitions, all of them contain the true differences "
        "(Dunnett 1955, doi:10.2307/2281208). A repetition has other seeds and other validation images, and other "
        "training images where each seed has its own.",
    ),
    "split": Term(
        r"\b[Ss]plits?\b|\b[Vv]alidation images\b",
        "The images in three parts: training images to fit a model, validation images to stop the fit and to select a "
        "trial, and test images, which are scored but influence no choice.",
    ),
    "stage": Term(r"\b[Ss]tages?\b", "One tuning step: a question, and the trials that answer it."),
    "standard deviation": Term(
        r"±|\b[Ss]tandard deviations?\b|\bSD\b",
        "How much single runs differ from their mean. In 0.812 ± 0.004, it is the number after ±.",
    ),
    "standard error": Term(
        r"(?<!one )\b[Ss]tandard errors?\b",
        "How much the mean of a trial would change with other seeds: the standard deviation of single runs, estimated "
        "from all trials of the stage, divided by the square root of the number of seeds.",
    ),
    "stratified": Term(r"\b[Ss]tratified\b", "Drawn at random so that each class keeps its share of the images."),
    "successive halving": Term(
        r"\b[Ss]uccessive halving\b|\bDropped early\b",
        "A search that starts all trials of a stage on one seed and drops the worse half early, twice (Jamieson and "
        "Talwalkar 2016, arXiv:1502.07943).",
    ),
    "test_f1": Term(r"\btest_f1\b", "The macro-F1 of a run on the test images. It influences no choice."),
    "trial": Term(
        r"\b[Tt]rials?\b", "One full configuration: all settings of a model, of its training and of its input."
    ),
    "val_f1": Term(
        r"\bval_f1\b", "The macro-F1 of a run on the validation images. Stages select a trial by it, not by test_f1."
    ),
    "verdict": Term(
        r"\b[Vv]erdicts?\b|\b[Ii]nconclusive\b",
        "Better if the whole interval of a difference lies above zero, worse if it lies below, else inconclusive. "
        "Inconclusive does not mean equal.",
    ),
}
"""Each term of the glossary, in alphabetical order."""
