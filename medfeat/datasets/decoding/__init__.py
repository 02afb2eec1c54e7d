"""From one image file to the values it stores: pictures, DICOM, NIfTI, and how their intensities are meant."""
