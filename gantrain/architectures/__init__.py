"""Network families, one file each. A generator maps (z, labels) to samples, a discriminator (x, labels) to raw scores.

Every constructor takes ``shape``, the shape of one sample, and ``classes``, the number of classes (0: no labels); both
come from the data set. Its other arguments are those of ``configs/architecture/<family>.yaml``.

Below everything that trains: a network knows torch, and nothing of gantrain but its errors.
"""
