"""Studies as one web page that needs nothing else: figures, tables, and how they came about.

command.py      stageroute report
page.py         summaries into HTML, by the template page.html.jinja and the style page.css
drawing.py      a figure into SVG; lines.py, points.py and heat_map.py draw the three kinds
palette.py      colours and dashes: which label is drawn how
labels.py       where labels go so that none covers another
wording.py      figures in words, for those who do not see them; numbers on axes
settings.py     what a study ran under, in words, and the command that runs it again
"""
