"""Studies as one web page that needs nothing else: figures, tables, and how they came about.

command.py      stageroute report
page.py         summaries into HTML, by the template page.html.jinja and the style page.css
drawing.py      a figure into SVG, in the style figures.mplstyle
settings.py     what a study ran under, in words, and the command that runs it again
"""
