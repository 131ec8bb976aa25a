"""Where labelled images come from: every module turns one kind of source into `Splits`.

source.py               `Source`: labelled images, read one at a time
splits.py               `Splits`, and how images are divided into training, validation and test
folders.py, csv_table.py, arrays.py, handwritten_digits.py      the kinds of sources
"""
