"""Studies as one web page that needs nothing else: figures, tables, and how they came about.

page.py         summaries into HTML, by the template page.html.jinja and the style page.css
drawing.py      figures into SVG, in the style figures.mplstyle; all curves into one picture
"""
