"""`dift_geo.colmap_files` of 0.1, for scripts that import it."""

from dift_geo.colmap.exchange import export_database, export_text, import_database

__all__ = ["export_database", "export_text", "import_database"]
