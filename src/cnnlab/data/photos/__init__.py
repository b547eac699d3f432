"""Image files in any of Pillow's formats, made into arrays of one size."""

from cnnlab.data.photos.cache import remove_oldest, touch
from cnnlab.data.photos.decoding import decode, why
from cnnlab.data.photos.importing import Imported, import_images
from cnnlab.data.photos.listing import image_files
from cnnlab.data.photos.pixels import resize

__all__ = ["Imported", "decode", "image_files", "import_images", "remove_oldest", "resize", "touch", "why"]
