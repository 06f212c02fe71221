"""One file with an object in it. README.md describes the format.

=======================  ======================================================================================
``_dumping.py``          ``dump``: what its arguments mean
``_loading.py``          ``load``: what kind of file it is, and how it is read
``_format.py``           what stands at which place of a file
``_pickling.py``         an object as a pickle, with its arrays beside it
``_names.py``            which classes and functions a pickle names
``_pieces.py``           arrays as bytes, taken from where they are
``_writing.py``          an object into a sink; ``_reading.py``: a source back into an object
``_sinks.py``            where a file is written to; ``_sources.py``: where it is read from
``_replacing.py``        a file that takes the place of another when it is complete
``_allocating.py``       room for a file
``_codecs.py``           blocks that are compressed; ``_threads.py``: several at a time
``_elements.py``         the bytes of numbers, taken apart before they are compressed
``_versions.py``         which versions have written a file
``_safe.py``             data from files of others, without pickle; ``_safe_makers.py``: what data consist of
``_inspecting.py``       what is in a file, without loading it
``_compressors.py``      files that are compressed as a whole, by method name, extension and first bytes
``_zlib_file.py``        zlib and gzip streams as file objects
``_joblib_files.py``     what joblib's ``dump`` has written, read without joblib; ``_joblib_arrays.py``: the arrays in
                         it; ``_exact_stream.py``: how it is read
=======================  ======================================================================================
"""
