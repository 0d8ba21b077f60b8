"""Tables, figures and pages: what people look at, made from documents and data classes."""
