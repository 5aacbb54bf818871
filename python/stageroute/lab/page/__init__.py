"""Studies as one web page that needs nothing else: figures, tables, and how they came about.

page.py         summaries into HTML, by the template page.html.jinja and the style page.css
drawing.py      a figure into SVG, in the style figures.mplstyle
picture.py      all curves of a study into one picture
settings.py     what a study ran under, in words
"""
