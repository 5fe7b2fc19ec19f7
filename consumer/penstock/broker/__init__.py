"""RabbitMQ: the only room that imports pika; its errors are translated here."""
