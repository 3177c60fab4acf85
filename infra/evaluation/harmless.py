"""Texts without personal data, in English and Spanish, which no training reads: false alarms are counted on them."""

_TEXTS = """
The service answers from documents, or says that it cannot.
Each Passage is checked before it reaches the Prompt.
Open the Reports tab, then press Download.
The Warranty covers parts and labour for 24 months.
A Works Agreement needs the consent of both sides.
Bring water to the boil, add Rice, and wait 12 minutes.
The filter must be changed every 500 hours.
WARNING: HIGH VOLTAGE
Figure 3 shows the Pressure at each Valve.
Is Overtime paid or taken as time off?
Which form do I need for Parental Leave?
The Quarterly Review takes place in the Main Hall.
Rule 8: No food in the Laboratory.
Your session has expired. Please sign in again.
The Chair opens the meeting and reads the Agenda.
How do I export a table to CSV?
Restart the Router, wait 30 seconds, and try again.
Chapter 5 deals with Risk and Insurance.
The Policy applies to all Contractors.
Write to the Help Desk if the problem persists.
Terms used in this Manual are explained in Annex C.
Refunds are paid within 14 days.
Two thirds of the Votes are needed.
The Buyer bears the cost of Transport.
Choose a Password with at least 12 characters.
The Lease may be ended with three months' notice.
Batteries must not be thrown into the fire.
Do cats see colours?
What is the difference between Gross and Net Pay?
Section 9.1 replaces Section 7.4.
Line 2 of the script raises an Exception.
The Inspector checks the Brakes and the Lights.
Minimum order: 20 units.
Never mix Acid with Bleach.
Thank you for your order. It will be sent soon.
La garantía cubre piezas y mano de obra durante 24 meses.
Abra la pestaña Informes y pulse Descargar.
El Convenio necesita el acuerdo de ambas partes.
El filtro se cambia cada 500 horas.
PELIGRO: ALTA TENSIÓN
La Figura 3 muestra la Presión en cada Válvula.
¿Se pagan las Horas Extra o se compensan?
¿Qué impreso necesito para el Permiso Parental?
La Revisión Trimestral se hace en el Salón de Actos.
Norma 8: No se come en el Laboratorio.
Su sesión ha caducado. Vuelva a entrar.
La Presidencia abre la sesión y lee el Orden del Día.
¿Cómo exporto una tabla a CSV?
Reinicie el Router, espere 30 segundos y pruebe otra vez.
El Capítulo 5 trata del Riesgo y del Seguro.
La Política se aplica a todas las Contratas.
Los términos de este Manual se explican en el Anexo C.
Las devoluciones se pagan en 14 días.
Hacen falta dos tercios de los Votos.
El Comprador paga el Transporte.
Elija una Contraseña de al menos 12 caracteres.
El Contrato se puede rescindir con tres meses de preaviso.
No tire las Pilas al fuego.
¿Ven los gatos los colores?
¿Qué diferencia hay entre Sueldo Bruto y Neto?
El Apartado 9.1 sustituye al 7.4.
La línea 2 del programa lanza una Excepción.
La Inspección revisa los Frenos y las Luces.
Pedido mínimo: 20 unidades.
No mezcle nunca Ácido con Lejía.
Gracias por su pedido. Se enviará pronto.
El Plazo empieza al día siguiente de la Notificación.
Guarde el Recibo hasta el final del Viaje.
Los Socios eligen a la Junta en la Asamblea.
Esta Licencia permite copiar y cambiar el Programa.
"""


def harmless() -> list[str]:
    """One text a line."""
    return _TEXTS.strip().splitlines()
