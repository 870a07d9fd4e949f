"""Maps as colours and pictures: takes arrays, returns arrays, images and HTML; opens no file."""
