"""Reports: sections of text, pictures and tables as one HTML file that needs no network."""

from superscope.report.atlas import AtlasPage as AtlasPage
from superscope.report.atlas import Sheet as Sheet
from superscope.report.atlas import atlas_files as atlas_files
from superscope.report.atlas import packed as packed
from superscope.report.atlas import render_atlas as render_atlas
from superscope.report.page import Block as Block
from superscope.report.page import ClaimsTable as ClaimsTable
from superscope.report.page import DataTable as DataTable
from superscope.report.page import Drawing as Drawing
from superscope.report.page import Facts as Facts
from superscope.report.page import Interactive as Interactive
from superscope.report.page import Page as Page
from superscope.report.page import Picture as Picture
from superscope.report.page import Prose as Prose
from superscope.report.page import Section as Section
from superscope.report.render import render as render
