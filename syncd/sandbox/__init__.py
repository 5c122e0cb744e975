"""A small POP3 and SMTP server with scripted misbehaviour; stands apart from the product."""
