"""The formats that cnnlab reads. To add one, write its module and add its `FORMAT` here."""

from cnnlab.data.formats import archive, cifar, folders, gray, idx, npz, table

FORMATS = (gray.FORMAT, cifar.FORMAT, table.FORMAT, folders.FORMAT, npz.FORMAT, idx.FORMAT, archive.FORMAT)
