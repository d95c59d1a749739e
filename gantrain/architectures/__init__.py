"""Network families, one file each. A generator maps (z, labels) to samples, a discriminator (x, labels) to raw scores.

Every constructor takes ``shape``, the shape of one sample, and ``classes``, the number of classes (0: no labels), which
the data set tells; the rest of its arguments is its part of ``configs/architecture/<family>.yaml``.
"""
