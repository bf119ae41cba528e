"""Import paths of 0.1 whose files have moved: `dift_geo/__init__.py` puts this folder on the
package's search path.
"""
