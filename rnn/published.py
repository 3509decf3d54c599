"""Published results on the Penn Treebank, by the names of the configs.

They are perplexities of single models, without a cache or dynamic evaluation.
Fine-tuning would be a second training, so figures with it are left out.
"""

# Train, valid and test; None where the source does not say it.
Figures = tuple[float | None, float | None, float]

# The first entry of each model is the one that a run is compared with.
PUBLISHED: dict[str, dict[str, Figures]] = {
    # Table 1 of Zaremba et al. 2014 (arXiv 1409.2329), and the table at the top
    # of the classic TensorFlow script.
    "small": {"Zaremba et al. 2014, small on PTB": (None, 120.7, 114.5),
              "classic script, small on PTB": (37.99, 121.39, 115.91)},
    "medium": {"Zaremba et al. 2014, medium on PTB": (None, 86.2, 82.7),
               "classic script, medium on PTB": (48.45, 86.16, 82.07)},
    "large": {"Zaremba et al. 2014, large on PTB": (None, 82.2, 78.4),
              "classic script, large on PTB": (37.87, 82.62, 78.29)},
    # Table 1 of Inan et al. 2017 (arXiv 1611.01462), models VD-LSTM+RE; README
    # of word_language_model in github.com/pytorch/examples at bcea1f5, when
    # its text was still the Penn Treebank; table 6 of Press and Wolf 2017
    # (arXiv 1608.05859), whose tied small model has no dropout.
    "tied-small": {"Inan et al. 2017, 200 units": (None, 89.9, 85.1),
                   "PyTorch's example, 200 units, tied": (None, None, 87.17),
                   "Press and Wolf 2017, small, tied": (36.4, 117.5, 112.4)},
    "tied-medium": {"Inan et al. 2017, 650 units": (None, 77.1, 73.9),
                    "PyTorch's example, 650 units, tied": (None, None, 75.96)},
    # Table 4 of Merity et al. 2018 (arXiv 1708.02182), the row without
    # fine-tuning; README of github.com/salesforce/awd-lstm-lm.
    "awd": {"Merity et al. 2018, no fine-tuning": (None, 60.7, 58.8),
            "their later code, no fine-tuning": (None, 61.2, 58.8)},
}
